//! The codec for tokio does what the decoder does, however reads cut the stream.

mod oracle;

use std::io::ErrorKind;

use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use oracle::{decode, oracle};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::codec::{Decoder, Encoder, Framed, FramedRead};
use xmlsocket_codec::tokio::{CodecError, FrameCodec};
use xmlsocket_codec::{Config, DelimiterInPayload, Error, Oversize};

/// Streams with every kind of end and with frames of every kind.
const STREAMS: [&[u8]; 8] = [
    b"",
    b"\0",
    b"<a/>\0<b/>\0",
    b"<a/>\0<tail",
    b"\0\0a\0\0\0b\0\0",
    b"ab\0abc\0abcd\0abcde\0ab\0",
    b"abcdefgh",
    b"a\0abcdefgh",
];

fn configs() -> impl Iterator<Item = Config> {
    let sizes = [None, Some(0), Some(3), Some(4)];
    let config = |max_size, oversize, skip_empty| Config {
        max_size,
        oversize,
        skip_empty,
    };
    sizes.into_iter().flat_map(move |size| {
        [Oversize::Raise, Oversize::Skip]
            .into_iter()
            .flat_map(move |oversize| [false, true].map(|empty| config(size, oversize, empty)))
    })
}

fn framing(error: CodecError) -> Error {
    match error {
        CodecError::Framing(error) => error,
        other => panic!("{other:?}"),
    }
}

/// Runs a codec over one buffer, as `FramedRead` does.
fn run<'a>(
    config: Config,
    pieces: impl Iterator<Item = &'a [u8]>,
) -> (Vec<Vec<u8>>, Option<Error>) {
    let mut codec = FrameCodec::with_config(config);
    let mut buffer = BytesMut::new();
    let mut frames = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match codec.decode(&mut buffer) {
                Ok(Some(frame)) => frames.push(frame.to_vec()),
                Ok(None) => break,
                Err(error) => return (frames, Some(framing(error))),
            }
        }
        assert_eq!(codec.scanner().pending(), buffer.len());
    }
    let end = codec.decode_eof(&mut buffer).map_err(framing);
    if let Ok(frame) = &end {
        assert_eq!(&None, frame);
    }
    (frames, end.err())
}

/// Every stream gives what the decoder and the definition give, in pieces of every size.
#[test]
fn decode_pieces_of_any_size_equals_decoder() {
    for stream in STREAMS {
        for config in configs() {
            let expected = oracle(config, stream);
            assert_eq!(expected, decode(config, [stream].into_iter()));
            let expected = (expected.frames, expected.error);
            for size in 1..=stream.len().max(1) {
                let found = run(config, stream.chunks(size));
                assert_eq!(expected, found, "{config:?} {stream:?} {size}");
            }
        }
    }
}

/// No byte is searched twice, though tokio shows the whole buffer each time.
#[test]
fn decode_long_frame_in_small_pieces_searches_each_byte_once() {
    let mut codec = FrameCodec::new();
    let mut buffer = BytesMut::new();
    for _ in 0..1000 {
        buffer.extend_from_slice(&[b'x'; 100]);
        assert_eq!(None, codec.decode(&mut buffer).unwrap());
    }
    buffer.extend_from_slice(b"\0");

    assert_eq!(100_000, codec.decode(&mut buffer).unwrap().unwrap().len());
    assert_eq!(100_001, codec.scanner().bytes_scanned());
}

/// Frames before the one that is too big come first; then the error, for ever, and
/// the memory is given back.
#[test]
fn decode_frame_too_big_gives_earlier_frames_then_the_error() {
    let config = Config {
        max_size: Some(4),
        ..Config::default()
    };
    let mut codec = FrameCodec::with_config(config);
    let mut buffer = BytesMut::from(&b"<a/>\0<toolong"[..]);

    assert_eq!(
        Some(Bytes::from("<a/>")),
        codec.decode(&mut buffer).unwrap()
    );
    for _ in 0..2 {
        let error = codec.decode(&mut buffer).unwrap_err();
        let expected = "frame starting at stream offset 5 exceeds max_size=4 bytes";
        assert_eq!(expected, error.to_string());
        assert_eq!(0, buffer.capacity());
    }
}

/// Frames that are still in the buffer at the end of the stream are handed out, and
/// to ask again after the end does no harm.
#[test]
fn decode_eof_frames_left_are_handed_out_before_the_end() {
    let mut codec = FrameCodec::new();
    let mut buffer = BytesMut::from(&b"a\0b\0"[..]);

    for expected in [Some(Bytes::from("a")), Some(Bytes::from("b")), None, None] {
        assert_eq!(expected, codec.decode_eof(&mut buffer).unwrap());
    }
}

/// A frame that passes the limit at the end of the stream is too big, not unfinished.
#[test]
fn decode_eof_frame_too_big_is_no_incomplete_frame() {
    let config = Config {
        max_size: Some(4),
        ..Config::default()
    };
    let mut codec = FrameCodec::with_config(config);
    let mut buffer = BytesMut::from("toolong");

    for _ in 0..2 {
        let error = framing(codec.decode_eof(&mut buffer).unwrap_err());
        assert_eq!(
            Error::FrameTooBig {
                offset: 0,
                limit: 4
            },
            error
        );
        assert_eq!(0, buffer.capacity());
    }
}

/// A payload that holds the delimiter is refused, and what waits is as it was.
#[test]
fn encode_delimiter_in_payload_writes_nothing() {
    let mut codec = FrameCodec::new();
    let mut buffer = BytesMut::from("before");

    match codec.encode("ab\0c", &mut buffer) {
        Err(CodecError::Payload(error)) => {
            assert_eq!(DelimiterInPayload { index: 2, item: 0 }, error);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!("before", buffer);
}

/// Whatever stopped it, an error has the text of its cause, and names the cause.
#[test]
fn codec_error_every_kind_has_text_and_source_of_its_cause() {
    let framing = Error::IncompleteFrame { offset: 5 };
    let payload = DelimiterInPayload { index: 2, item: 0 };
    let broken = || std::io::Error::other("cable pulled");
    let pairs: [(CodecError, Box<dyn std::error::Error>); 3] = [
        (framing.into(), framing.into()),
        (payload.into(), payload.into()),
        (broken().into(), broken().into()),
    ];

    for (error, cause) in pairs {
        assert_eq!(cause.to_string(), error.to_string());
        let source = std::error::Error::source(&error).expect("a cause");
        assert_eq!(format!("{cause:?}"), format!("{source:?}"));
    }
}

/// A connection that is reset gives the error of the transport, and no framing error.
#[tokio::test]
async fn framed_connection_reset_gives_the_error_of_the_transport() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut peer = TcpStream::connect(address).await.unwrap();
    let (here, _) = listener.accept().await.unwrap();
    let mut here = Framed::new(here, FrameCodec::new());
    peer.write_all(b"<a/>\0<tail").await.unwrap();

    assert_eq!(Bytes::from("<a/>"), here.next().await.unwrap().unwrap());
    // Whoever closes before reading what has arrived resets the connection.
    here.send("<unread/>").await.unwrap();
    peer.readable().await.unwrap();
    drop(peer);
    match here.next().await {
        Some(Err(CodecError::Io(error))) => assert_eq!(ErrorKind::ConnectionReset, error.kind()),
        other => panic!("{other:?}"),
    }
}

/// Over a stream a tail without delimiter is an error and no frame.
#[tokio::test]
async fn framed_read_stream_ends_inside_a_frame_tells_where() {
    let (mut here, there) = tokio::io::duplex(3);
    let writer = tokio::spawn(async move { here.write_all(b"<a/>\0<tail").await });
    let mut frames = FramedRead::new(there, FrameCodec::new());

    assert_eq!(Bytes::from("<a/>"), frames.next().await.unwrap().unwrap());
    let error = framing(frames.next().await.unwrap().unwrap_err());
    assert_eq!(Error::IncompleteFrame { offset: 5 }, error);
    assert!(frames.next().await.is_none());
    writer.await.unwrap().unwrap();
}

/// What one end sends, of any type made of bytes, the other one gets.
#[tokio::test]
async fn framed_both_ends_frames_arrive_in_order() {
    let (here, there) = tokio::io::duplex(16);
    let mut here = Framed::new(here, FrameCodec::new());
    let mut there = Framed::new(there, FrameCodec::new());
    let long = "x".repeat(1000);
    let sent = long.clone();
    let writer = tokio::spawn(async move {
        here.send("<a/>").await?;
        here.send(Vec::new()).await?;
        here.send(Bytes::from(sent)).await
    });

    for expected in ["<a/>", "", &long] {
        assert_eq!(expected, there.next().await.unwrap().unwrap());
    }
    assert!(there.next().await.is_none());
    writer.await.unwrap().unwrap();
}
