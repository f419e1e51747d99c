//! Bodies written in pieces: a long result leaves for the client while the rest of it is still being written.
//!
//! The writer is an ordinary blocking thread; the body that it feeds is polled by the network runtime. Short results
//! stay in one piece and get a length.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use hyper::body::Frame;
use tokio::sync::{mpsc, oneshot};

/// A piece is sent once it has so many bytes.
const PIECE_BYTES: usize = 64 << 10;
/// Pieces that may wait for a slow client.
const PIECES_WAITING_MAX: usize = 4;

/// The client is gone, or reads no more.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Disconnected;

/// Takes a body's bytes; see the module.
#[derive(Debug)]
pub(super) struct PieceWriter {
    buffer: Vec<u8>,
    start: Option<oneshot::Sender<Body>>,
    pieces: Option<mpsc::Sender<Bytes>>,
}

impl PieceWriter {
    /// A writer, and where its body will appear.
    pub(super) fn new() -> (Self, oneshot::Receiver<Body>) {
        let (start, body) = oneshot::channel();
        (Self { buffer: Vec::with_capacity(4 << 10), start: Some(start), pieces: None }, body)
    }

    /// The buffer to append to.
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Sends what has gathered, if it is enough. Blocks while the client is slow.
    pub(super) fn offer(&mut self) -> Result<(), Disconnected> {
        if self.buffer.len() < PIECE_BYTES { Ok(()) } else { self.send() }
    }

    /// A JSON list, sent in pieces where it is long.
    pub(super) fn list<T>(
        &mut self,
        items: &[T],
        write: impl Fn(&mut Vec<u8>, &T),
    ) -> Result<(), Disconnected> {
        self.buffer.push(b'[');
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.buffer.push(b',');
            }
            write(&mut self.buffer, item);
            self.offer()?;
        }
        self.buffer.push(b']');
        Ok(())
    }

    /// Sends the rest and ends the body.
    pub(super) fn finish(mut self) -> Result<(), Disconnected> {
        match self.start.take() {
            Some(start) => start.send(Body::from(self.buffer)).map_err(|_| Disconnected),
            None => self.send(),
        }
    }

    fn send(&mut self) -> Result<(), Disconnected> {
        if let Some(start) = self.start.take() {
            let (sender, receiver) = mpsc::channel(PIECES_WAITING_MAX);
            start.send(Body::new(PieceBody { receiver })).map_err(|_| Disconnected)?;
            self.pieces = Some(sender);
        }
        let piece = std::mem::replace(&mut self.buffer, Vec::with_capacity(PIECE_BYTES + (4 << 10)));
        let pieces = self.pieces.as_ref().expect("the channel was made when the body began");
        pieces.blocking_send(Bytes::from(piece)).map_err(|_| Disconnected)
    }
}

/// The network's end of a body in pieces.
struct PieceBody {
    receiver: mpsc::Receiver<Bytes>,
}

impl HttpBody for PieceBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.receiver.poll_recv(context).map(|piece| piece.map(|bytes| Ok(Frame::data(bytes))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().build().expect("a runtime starts")
    }

    #[test]
    fn short_bodies_have_a_length() {
        let (mut writer, body) = PieceWriter::new();
        writer.buffer().extend_from_slice(b"short");
        assert_eq!(writer.offer(), Ok(()));
        assert_eq!(writer.finish(), Ok(()));
        let body = runtime().block_on(body).expect("the body was sent");
        assert_eq!(body.size_hint().exact(), Some(5));
    }

    #[test]
    fn long_bodies_come_in_pieces_and_whole() {
        let (mut writer, body) = PieceWriter::new();
        let writing = std::thread::spawn(move || {
            for n in 0..100_000_u32 {
                writer.buffer().extend_from_slice(&n.to_le_bytes());
                writer.offer()?;
            }
            writer.finish()
        });
        let bytes = runtime().block_on(async {
            let body = body.await.expect("the body was sent");
            assert_eq!(body.size_hint().exact(), None);
            body.collect().await.expect("pieces do not fail").to_bytes()
        });
        assert_eq!(bytes.len(), 400_000);
        assert_eq!(bytes[399_996..], 99_999_u32.to_le_bytes());
        assert_eq!(writing.join().expect("the writer does not panic"), Ok(()));
    }

    #[test]
    fn a_client_that_left_stops_the_writer() {
        let (mut writer, body) = PieceWriter::new();
        drop(body);
        writer.buffer().resize(PIECE_BYTES, b'x');
        assert_eq!(writer.offer(), Err(Disconnected));
    }
}
