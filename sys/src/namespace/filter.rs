//! What default containers do to namespaces, so that it can be tried anywhere: a seccomp filter that refuses them.

use std::io;

use super::checked;

/// Every flag of clone(2) and unshare(2) that makes a namespace.
const NAMESPACES: u32 = 0x7e02_0080;

/// Where a filter finds the call's number, its architecture and the lower half of its first argument
/// (`struct seccomp_data`, on a little-endian machine).
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const FIRST_ARGUMENT: u32 = 16;

/// `AUDIT_ARCH_X86_64`.
const X86_64: u32 = 0xc000_003e;

/// Refuses `unshare` and `clone` with a flag of a namespace (EPERM), and `clone3`, whose flags no filter can read
/// (ENOSYS), to this thread and all that it starts. It cannot be undone, and gives up new privileges.
///
/// # Errors
/// When the system refuses, or is no x86_64.
pub fn refuse_namespaces() -> io::Result<()> {
    if !cfg!(target_arch = "x86_64") {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let number = |call: libc::c_long| u32::try_from(call).expect("a call's number is small");
    let answer = |errno: i32| libc::SECCOMP_RET_ERRNO | u32::try_from(errno).expect("an errno is small");
    let load = |at| step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, at, 0, 0);
    let is = |value, then, otherwise| {
        step(
            libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
            value,
            then,
            otherwise,
        )
    };
    let any_of = |bits, then, otherwise| {
        step(
            libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K,
            bits,
            then,
            otherwise,
        )
    };
    let give = |value| step(libc::BPF_RET | libc::BPF_K, value, 0, 0);
    // The jumps count the steps that they leave out.
    let mut program = [
        load(ARCHITECTURE),
        is(X86_64, 0, 7),
        load(NUMBER),
        is(number(libc::SYS_clone3), 6, 0),
        is(number(libc::SYS_unshare), 1, 0),
        is(number(libc::SYS_clone), 0, 3),
        load(FIRST_ARGUMENT),
        any_of(NAMESPACES, 0, 1),
        give(answer(libc::EPERM)),
        give(libc::SECCOMP_RET_ALLOW),
        give(answer(libc::ENOSYS)),
    ];
    let program = libc::sock_fprog {
        len: u16::try_from(program.len()).expect("it is short"),
        filter: program.as_mut_ptr(),
    };
    nix::sys::prctl::set_no_new_privs()?;
    let none: libc::c_long = 0;
    // SAFETY: the kernel reads the program that the pointer leads to; it and its steps outlive the call.
    let returned = unsafe {
        libc::prctl(
            libc::PR_SET_SECCOMP,
            libc::SECCOMP_MODE_FILTER,
            &raw const program,
            none,
            none,
        )
    };
    checked(libc::c_long::from(returned)).map(drop)
}

fn step(code: u32, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter {
        code: u16::try_from(code).expect("the codes of BPF fit a short"),
        jt,
        jf,
        k,
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn namespaces_are_refused_and_processes_are_not() {
        // A filter belongs to a thread, so that this one can have it without hurting the others.
        let (unshare, simple) = std::thread::spawn(|| {
            refuse_namespaces().unwrap();
            let unshare = nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWUSER);
            (unshare, Command::new("true").status().unwrap())
        })
        .join()
        .unwrap();

        assert_eq!(unshare, Err(nix::errno::Errno::EPERM));
        assert!(simple.success());
    }
}
