//! The program against servers that do what they should, and servers that do not:
//! a load generator that a wrong server gets past measures nothing.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

/// Serves each connection in a thread of its own until the test's process ends.
fn serve(handler: impl Fn(TcpStream) + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let handler = handler.clone();
            let stream = stream.unwrap();
            thread::spawn(move || handler(stream));
        }
    });
    address
}

/// Sends back what comes, after `change` has seen it.
fn echo(mut stream: TcpStream, mut change: impl FnMut(&mut Vec<u8>)) {
    let mut buffer = vec![0; 65536];
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        let mut data = buffer[..count].to_vec();
        change(&mut data);
        if stream.write_all(&data).is_err() {
            break;
        }
    }
}

fn load(workload: &str, target: SocketAddr, arguments: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_xs-load"))
        .arg(workload)
        .args(["--target", &target.to_string()])
        .args(["--seconds", "0.05", "--warmup", "0.01"])
        .args(arguments.split_whitespace())
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn passes(output: &Output) -> String {
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{out}{errors}");
    out
}

fn fails(output: &Output, words: &str) {
    let out = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(Some(1), output.status.code(), "{out}{errors}");
    assert!(errors.contains(words), "{errors}");
    assert_eq!("", out);
}

/// The number of field `name` in a line of output.
fn field(line: &str, name: &str) -> f64 {
    let start = line.find(&format!("\"{name}\":")).unwrap() + name.len() + 3;
    let end = start + line[start..].find([',', '}']).unwrap();
    line[start..end].parse().unwrap()
}

#[test]
fn echo_workloads_against_an_echo_server_count_frames() {
    let target = serve(|stream| echo(stream, |_| ()));

    for (workload, arguments) in [
        ("echo", "--size 32"),
        (
            "echo",
            "--size 1024 --connections 100 --in-flight 8 --shape tree",
        ),
        ("echo", "--size 70000 --connections 2"),
        ("long", "--size 300000"),
        ("drip", "--connections 10"),
    ] {
        let line = passes(&load(workload, target, arguments));

        assert!(field(&line, "frames") > 0.0, "{line}");
        assert!(line.contains("generator_bound"), "{line}");
    }
}

#[test]
fn latency_workloads_against_an_echo_server_give_percentiles() {
    let target = serve(|stream| echo(stream, |_| ()));

    for (workload, arguments) in [
        ("round-trip", "--size 1024 --connections 3"),
        ("paced", "--rate 2000 --connections 5"),
    ] {
        let line = passes(&load(workload, target, arguments));

        assert!(field(&line, "p50_us") <= field(&line, "p99_us"), "{line}");
        assert!(field(&line, "p99_us") <= field(&line, "max_us"), "{line}");
    }
}

#[test]
fn paced_counts_the_frames_that_were_due_not_those_that_were_answered_in_time() {
    let target = serve(|stream| echo(stream, |_| ()));

    let line = passes(&load("paced", target, "--rate 1000 --seconds 0.1"));

    assert!((field(&line, "samples") - 100.0).abs() <= 1.0, "{line}");
}

#[test]
fn echo_with_a_changed_byte_fails() {
    let target = serve(|stream| {
        let mut position = 0;
        echo(stream, move |data| {
            if (position..position + data.len()).contains(&10_000) {
                data[10_000 - position] ^= 1;
            }
            position += data.len();
        });
    });

    fails(&load("echo", target, ""), "frame 303 at byte 10000");
    fails(&load("paced", target, "--rate 100000"), "byte 10000");
    fails(
        &load("round-trip", target, "--size 9999"),
        "frame 1 at byte 10000",
    );
}

#[test]
fn echo_with_a_dropped_frame_fails() {
    let target = serve(|stream| {
        let mut first = true;
        echo(stream, move |data| {
            if std::mem::take(&mut first) {
                data.drain(33..66);
            }
        });
    });

    fails(&load("echo", target, ""), "frame 1 at byte");
}

#[test]
fn echo_that_falls_silent_fails_after_the_timeout() {
    let target = serve(|mut stream| {
        let mut buffer = [0; 1];
        while stream.read(&mut buffer).is_ok_and(|count| count > 0) {}
    });

    fails(
        &load("echo", target, "--timeout 0.2"),
        "4096 frames missing",
    );
    fails(
        &load("paced", target, "--timeout 0.2 --rate 100"),
        "frames missing",
    );
}

#[test]
fn echo_that_says_more_than_it_heard_fails() {
    let target = serve(|stream| echo(stream, |data| data.extend_from_within(..)));

    fails(
        &load("echo", target, "--in-flight 1"),
        "more than were sent",
    );
}

#[test]
fn echo_that_closes_early_fails() {
    let target = serve(|mut stream| {
        let mut data = [0; 33];
        stream.read_exact(&mut data).unwrap();
        stream.write_all(&data).unwrap();
    });

    fails(&load("round-trip", target, ""), "connection 0");
}

fn answer_totals(mut stream: TcpStream, account: impl Fn(usize, usize) -> (usize, usize)) {
    let mut data = Vec::new();
    stream.read_to_end(&mut data).unwrap();
    let frames = data.split(|&byte| byte == 0).count() - 1;
    let (frames, bytes) = account(frames, data.len() - frames);
    let _ = write!(stream, "<totals frames=\"{frames}\" bytes=\"{bytes}\"/>\0");
}

#[test]
fn ingest_with_the_right_totals_passes() {
    let target = serve(|stream| answer_totals(stream, |frames, bytes| (frames, bytes)));

    let line = passes(&load("ingest", target, "--connections 3 --write-size 4000"));

    assert!(field(&line, "frames") > 0.0, "{line}");
}

#[test]
fn ingest_with_one_frame_too_few_fails() {
    let target = serve(|stream| answer_totals(stream, |frames, bytes| (frames - 1, bytes)));

    fails(&load("ingest", target, ""), "the server counted");
}

/// Passes on what comes from the first of each two connections to the second.
fn relay(change: fn(&mut [u8])) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let mut streams = listener.incoming().map(Result::unwrap);
        while let (Some(mut from), Some(mut to)) = (streams.next(), streams.next()) {
            thread::spawn(move || {
                let mut buffer = vec![0; 65536];
                while let Ok(count @ 1..) = from.read(&mut buffer) {
                    change(&mut buffer[..count]);
                    if to.write_all(&buffer[..count]).is_err() {
                        break;
                    }
                }
            });
        }
    });
    address
}

#[test]
fn relay_to_the_partner_passes() {
    let target = relay(|_| ());

    let line = passes(&load("relay", target, "--connections 2"));

    assert!(field(&line, "frames") > 0.0, "{line}");
}

#[test]
fn relay_of_something_else_fails() {
    let target = relay(|data| data[0] = b'!');

    fails(&load("relay", target, ""), "wrong reply");
}

/// Sends what comes from anyone to everyone, but for the first `deaf` connections.
fn broadcast(deaf: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let all: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            all.lock().unwrap().push(stream.try_clone().unwrap());
            let all = all.clone();
            thread::spawn(move || {
                let mut buffer = vec![0; 65536];
                while let Ok(count @ 1..) = stream.read(&mut buffer) {
                    for peer in all.lock().unwrap().iter_mut().skip(deaf) {
                        let _ = peer.write_all(&buffer[..count]);
                    }
                }
            });
        }
    });
    address
}

#[test]
fn broadcast_to_all_counts_every_delivery() {
    let line = passes(&load(
        "broadcast",
        broadcast(0),
        "--connections 5 --in-flight 3",
    ));

    assert!(field(&line, "frames") >= 5.0, "{line}");
}

#[test]
fn broadcast_that_leaves_one_out_fails() {
    let output = load("broadcast", broadcast(1), "--connections 5 --timeout 0.2");

    fails(&output, "frames missing");
}

#[test]
fn idle_holds_each_step_until_it_is_told_to_go_on() {
    let target = serve(|stream| echo(stream, |_| ()));
    let mut child = Command::new(env!("CARGO_BIN_EXE_xs-load"))
        .args(["idle", "--target", &target.to_string(), "--steps", "3,7"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();

    for open in [3.0, 7.0] {
        let line = lines.next().unwrap().unwrap();
        assert!((field(&line, "open") - open).abs() < 0.5, "{line}");
        input.write_all(b"\n").unwrap();
    }
    assert!(child.wait().unwrap().success());
}
