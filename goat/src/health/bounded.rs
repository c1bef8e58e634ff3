//! A listener that no client can hold.
//!
//! A connection lives for two seconds and is then cut, whatever it does; it may send a few thousand bytes; and there
//! are only so many at a time. Where one more comes the oldest is cut: who floods the port cuts its own connections,
//! and a probe, which asks at once, is answered before its turn comes, unless the flood takes all processors as well.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::Sleep;

/// Connections at a time.
const CONNECTIONS: usize = 64;
/// How long one lives. An answer is a few hundred bytes.
pub(super) const LIFETIME: Duration = Duration::from_secs(2);
/// The most that one may send, in bytes. It bounds what the server keeps of a request that does not end.
const LONGEST: usize = 8 * 1024;
/// After an error of `accept` that repeats at once: no descriptors are left, for example.
const PAUSE: Duration = Duration::from_millis(50);

/// A listener whose connections are counted and timed.
pub(super) struct Bounded {
    listener: TcpListener,
    /// What cuts the connections that are open, the oldest first.
    open: VecDeque<oneshot::Sender<()>>,
}

impl Bounded {
    pub(super) fn new(listener: TcpListener) -> Self {
        Self {
            listener,
            open: VecDeque::new(),
        }
    }

    /// Makes room for one more connection; gives what tells it that it is cut.
    fn admit(&mut self) -> oneshot::Receiver<()> {
        self.open.retain(|one| !one.is_closed());
        if self.open.len() == CONNECTIONS
            && let Some(oldest) = self.open.pop_front()
        {
            // It may have ended just now.
            let _ = oldest.send(());
        }
        let (cutter, cut) = oneshot::channel();
        self.open.push_back(cutter);
        cut
    }
}

impl Listener for Bounded {
    type Io = Timed;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Timed, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok((stream, address)) => {
                    let timed = Timed {
                        stream,
                        end: Box::pin(tokio::time::sleep(LIFETIME)),
                        cut: self.admit(),
                        is_over: false,
                        left: LONGEST,
                    };
                    // In a flood the connections that were cut end before more are taken in.
                    tokio::task::yield_now().await;
                    return (timed, address);
                }
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that fails once its time is over, it has sent too much, or its place is needed.
pub(super) struct Timed {
    stream: TcpStream,
    end: Pin<Box<Sleep>>,
    cut: oneshot::Receiver<()>,
    is_over: bool,
    /// What it may still send, in bytes.
    left: usize,
}

impl Timed {
    /// An error once the connection is over; asks to be woken then.
    fn over(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        self.is_over |= self.end.as_mut().poll(context).is_ready();
        // Once it has told, it must not be asked again.
        self.is_over = self.is_over || Pin::new(&mut self.cut).poll(context).is_ready();
        if self.is_over {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(())
    }
}

impl AsyncRead for Timed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.over(context)?;
        if self.left == 0 {
            return Poll::Ready(Err(io::ErrorKind::FileTooLarge.into()));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.left = self.left.saturating_sub(buffer.filled().len() - before);
        read
    }
}

impl AsyncWrite for Timed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.over(context)?;
        Pin::new(&mut self.stream).poll_write(context, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
