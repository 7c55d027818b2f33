//! A stream with a tap: what is read through it is kept in a copy, byte for byte, for captures and checks.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream whose incoming bytes are copied. What is written, secrets with it, is not.
#[derive(Debug)]
pub struct Tap<S> {
    inner: S,
    copy: Copied,
}

/// The far end of a [`Tap`]. It grows until it is taken from: take after every read.
#[derive(Clone, Debug, Default)]
pub struct Copied(Arc<Mutex<Vec<u8>>>);

impl<S> Tap<S> {
    pub fn new(inner: S) -> (Self, Copied) {
        let copy = Copied::default();
        (Self { inner, copy: copy.clone() }, copy)
    }
}

impl Copied {
    /// What came since the last time.
    pub fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn add(&self, bytes: &[u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Tap<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let Self { inner, copy } = self.get_mut();
        let read = Pin::new(inner).poll_read(context, buffer);
        copy.add(&buffer.filled()[before..]);
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tap<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    #[tokio::test]
    async fn what_is_read_is_copied_and_what_is_written_is_not() {
        let (near, mut far) = tokio::io::duplex(64);
        let (mut tap, copied) = Tap::new(near);
        tap.write_all(b"Secret: s3cret").await.unwrap();
        far.write_all(b"Event: A").await.unwrap();
        let mut piece = [0; 5];
        tap.read_exact(&mut piece).await.unwrap();
        assert_eq!(copied.take(), b"Event");
        tap.read_exact(&mut piece[..3]).await.unwrap();
        assert_eq!((copied.take(), copied.take()), (b": A".to_vec(), Vec::new()));
    }
}
