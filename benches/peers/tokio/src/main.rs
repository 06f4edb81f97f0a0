//! tokio-util: `Framed<TcpStream, AnyDelimiterCodec>`, one task per connection.
//!
//! The multi-threaded runtime with its default number of workers, TCP_NODELAY,
//! `lto = "fat"`. Frames are fed to the sink and flushed when none is left that
//! has been read: what `StreamExt::forward` does.

use std::error::Error;
use std::io;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::{FutureExt, Sink, SinkExt, Stream, StreamExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio_util::codec::{
    AnyDelimiterCodec, AnyDelimiterCodecError, Decoder, Encoder, Framed, FramedRead, FramedWrite,
};

type Failure = AnyDelimiterCodecError;

/// `AnyDelimiterCodec`, whose own encoder takes only text: the frames would have to
/// pass a UTF-8 check on the way out, which no other contender pays for. This
/// encoder does what that one does, with bytes.
struct Frames(AnyDelimiterCodec);

impl Decoder for Frames {
    type Item = Bytes;
    type Error = Failure;

    fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Bytes>, Failure> {
        self.0.decode(buffer)
    }

    fn decode_eof(&mut self, buffer: &mut BytesMut) -> Result<Option<Bytes>, Failure> {
        self.0.decode_eof(buffer)
    }
}

impl Encoder<Bytes> for Frames {
    type Error = Failure;

    fn encode(&mut self, frame: Bytes, buffer: &mut BytesMut) -> Result<(), Failure> {
        buffer.reserve(frame.len() + 1);
        buffer.put(frame);
        buffer.put_u8(0);
        Ok(())
    }
}

fn codec(max_size: usize) -> Frames {
    let delimiter = || b"\0".to_vec();
    Frames(AnyDelimiterCodec::new_with_max_length(
        delimiter(),
        delimiter(),
        max_size,
    ))
}

/// Sends what `stream` yields to `sink`, flushing when `stream` has to wait.
async fn forward<S, K>(stream: &mut S, sink: &mut K) -> Result<(), Failure>
where
    S: Stream<Item = Result<Bytes, Failure>> + Unpin,
    K: Sink<Bytes, Error = Failure> + Unpin,
{
    loop {
        let frame = match stream.next().now_or_never() {
            Some(frame) => frame,
            None => {
                sink.flush().await?;
                stream.next().await
            }
        };
        match frame {
            Some(frame) => sink.feed(frame?).await?,
            None => return sink.flush().await,
        }
    }
}

async fn echo(stream: TcpStream, max_size: usize) -> Result<(), Failure> {
    let mut framed = Framed::new(stream, codec(max_size));
    loop {
        let frame = match framed.next().now_or_never() {
            Some(frame) => frame,
            None => {
                framed.flush().await?;
                framed.next().await
            }
        };
        match frame {
            Some(frame) => framed.feed(frame?).await?,
            None => return framed.flush().await,
        }
    }
}

async fn ingest(stream: TcpStream, max_size: usize) -> Result<(), Failure> {
    let mut framed = Framed::new(stream, codec(max_size));
    let (mut frames, mut bytes) = (0, 0);
    while let Some(frame) = framed.next().await {
        frames += 1;
        bytes += frame?.len();
    }
    let totals = format!("<totals frames=\"{frames}\" bytes=\"{bytes}\"/>");
    framed.send(Bytes::from(totals)).await
}

struct Halves {
    reader: FramedRead<OwnedReadHalf, Frames>,
    writer: FramedWrite<OwnedWriteHalf, Frames>,
}

impl Halves {
    fn new(stream: TcpStream, max_size: usize) -> Self {
        let (reader, writer) = stream.into_split();
        Self {
            reader: FramedRead::new(reader, codec(max_size)),
            writer: FramedWrite::new(writer, codec(max_size)),
        }
    }
}

/// The usual way of tokio's chat examples: one channel that all tasks listen to.
async fn broadcast(
    halves: Halves,
    sender: broadcast::Sender<Bytes>,
    mut receiver: broadcast::Receiver<Bytes>,
) -> Result<(), Failure> {
    let Halves {
        mut reader,
        mut writer,
    } = halves;
    let task = tokio::spawn(async move {
        loop {
            let frame = match receiver.try_recv() {
                Ok(frame) => frame,
                Err(broadcast::error::TryRecvError::Empty) => {
                    writer.flush().await?;
                    match receiver.recv().await {
                        Ok(frame) => frame,
                        Err(_) => return Ok::<(), Failure>(()),
                    }
                }
                Err(_) => return Ok(()), // too slow for the channel
            };
            writer.feed(frame).await?;
        }
    });
    while let Some(frame) = reader.next().await {
        // Fails only when nobody listens, and the task above does.
        let _ = sender.send(BytesMut::from(&frame?[..]).freeze());
    }
    task.abort();
    Ok(())
}

/// Errors of one connection are the load generator's leaving.
fn report(result: Result<(), Failure>) {
    match result {
        Err(AnyDelimiterCodecError::Io(error))
            if matches!(
                error.kind(),
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
            ) => {}
        Err(error) => eprintln!("{error}"),
        Ok(()) => {}
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    use lexopt::prelude::*;

    let (mut mode, mut host, mut port) = ("echo".to_owned(), "127.0.0.1".to_owned(), 0_u16);
    let mut max_size = 1 << 20;
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("mode") => mode = parser.value()?.string()?,
            Long("host") => host = parser.value()?.string()?,
            Long("port") => port = parser.value()?.parse()?,
            Long("max-size") => max_size = parser.value()?.parse()?,
            other => return Err(other.unexpected().into()),
        }
    }
    if !["echo", "ingest", "broadcast", "relay"].contains(&mode.as_str()) {
        return Err(format!("unknown mode {mode}").into());
    }

    let listener = TcpListener::bind((host, port)).await?;
    println!("listening on {}", listener.local_addr()?);
    let (sender, _) = broadcast::channel(1024);
    let mut waiting: Option<Halves> = None;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        match mode.as_str() {
            "echo" => {
                tokio::spawn(async move { report(echo(stream, max_size).await) });
            }
            "ingest" => {
                tokio::spawn(async move { report(ingest(stream, max_size).await) });
            }
            "broadcast" => {
                let halves = Halves::new(stream, max_size);
                // Listens before the next connection is accepted.
                let (sender, receiver) = (sender.clone(), sender.subscribe());
                tokio::spawn(async move { report(broadcast(halves, sender, receiver).await) });
            }
            _ => {
                let mut there = Halves::new(stream, max_size);
                let Some(mut here) = waiting.take() else {
                    waiting = Some(there);
                    continue;
                };
                tokio::spawn(async move {
                    report(forward(&mut here.reader, &mut there.writer).await);
                });
                tokio::spawn(async move {
                    report(forward(&mut there.reader, &mut here.writer).await);
                });
            }
        }
    }
}
