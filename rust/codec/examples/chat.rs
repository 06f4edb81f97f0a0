//! A chat server: what one client sends, all get, the sender too.
//!
//! `cargo run --example chat --features tokio -- 127.0.0.1:9339`; port 0 takes a
//! free one. The address is printed.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast::Sender;
use tokio::task::yield_now;
use tokio::time::timeout;
use tokio_util::codec::Framed;
use xmlsocket_codec::tokio::{CodecError, FrameCodec};
use xmlsocket_codec::{Config, Oversize};

const LIMITS: Config = Config {
    max_size: Some(1 << 16),
    oversize: Oversize::Raise,
    skip_empty: true,
};

/// Frames that a client may be behind before it is cut off.
const BACKLOG: usize = 256;

/// How long a client may take nothing before it is cut off.
const PATIENCE: Duration = Duration::from_secs(10);

async fn talk(stream: TcpStream, room: Sender<Bytes>) -> Result<(), CodecError> {
    stream.set_nodelay(true)?;
    let mut heard = room.subscribe();
    let mut peer = Framed::new(stream, FrameCodec::with_config(LIMITS));
    loop {
        tokio::select! {
            // What was heard goes first, or who says much at once falls behind itself.
            biased;
            frame = heard.recv() => {
                let frame = frame.map_err(io::Error::other)?;
                timeout(PATIENCE, peer.send(frame)).await.map_err(io::Error::from)??;
            }
            said = peer.next() => match said {
                Some(frame) => {
                    drop(room.send(frame?));
                    // Or the others do, whose turn would come many frames later.
                    yield_now().await;
                }
                None => break,
            },
        }
    }
    // The end of input is not that of output: what was said before it is sent.
    while let Ok(frame) = heard.try_recv() {
        timeout(PATIENCE, peer.send(frame))
            .await
            .map_err(io::Error::from)??;
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:9339".into());
    let listener = TcpListener::bind(address).await?;
    eprintln!("listening on {}", listener.local_addr()?);
    let room = Sender::new(BACKLOG);
    loop {
        let (stream, peer) = listener.accept().await?;
        let talk = talk(stream, room.clone());
        tokio::spawn(async move {
            if let Err(error) = talk.await {
                eprintln!("{peer}: {error}");
            }
        });
    }
}
