//! Facts of sockets that no crate of ours exposes.

use std::io;
use std::os::fd::AsFd;

/// Makes an IPv6 socket that is not bound yet take IPv4 as well, whatever the machine's default is.
///
/// # Errors
/// What `setsockopt` says.
pub fn accept_ipv4_too(socket: &impl AsFd) -> io::Result<()> {
    Ok(nix::sys::socket::setsockopt(
        socket,
        nix::sys::socket::sockopt::Ipv6V6Only,
        &false,
    )?)
}
