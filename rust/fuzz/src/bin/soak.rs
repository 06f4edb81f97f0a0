//! A soak of the properties for machines without libFuzzer: `soak SECONDS SEED`.
//!
//! Inputs are made of tokens and of mutated files of the corpus. The same seed
//! makes the same inputs; how many of them fit into the time is up to the machine.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use std::{env, fs};

use xmlsocket_fuzz::PROPERTIES;

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1).map(|argument| argument.parse::<u64>());
    let (Some(Ok(seconds)), Some(Ok(seed)), None) =
        (arguments.next(), arguments.next(), arguments.next())
    else {
        eprintln!("usage: soak SECONDS SEED");
        return ExitCode::from(2);
    };
    let each = Duration::from_secs(seconds) / 3;
    for (name, property) in PROPERTIES {
        let corpus = read_corpus(name);
        let mut noise = Noise(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let start = Instant::now();
        let mut count = 0_u64;
        while count == 0 || start.elapsed() < each {
            // Looking at the clock costs as much as a short input.
            for _ in 0..256 {
                let input = noise.input(&corpus);
                if catch_unwind(AssertUnwindSafe(|| property(&input))).is_err() {
                    return keep(name, seed, count, &input);
                }
                count += 1;
            }
        }
        eprintln!("{name}: {count} inputs of seed {seed} hold");
    }
    ExitCode::SUCCESS
}

fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

fn read_corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = home().join("corpus").join(name);
    let Ok(files) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut paths: Vec<_> = files.flatten().map(|file| file.path()).collect();
    paths.sort(); // the order of a folder is not the same everywhere
    paths
        .iter()
        .filter_map(|path| fs::read(path).ok())
        .collect()
}

fn keep(name: &str, seed: u64, count: u64, input: &[u8]) -> ExitCode {
    let path = home()
        .join("artifacts")
        .join(name)
        .join(format!("soak-{seed}-{count}"));
    let kept = path.parent().map(fs::create_dir_all).and_then(Result::ok);
    let written = kept.map(|()| fs::write(&path, input));
    eprintln!("{name}: does not hold for input {count} of seed {seed}: {input:?}");
    if matches!(written, Some(Ok(()))) {
        eprintln!("kept as {}", path.display());
    }
    ExitCode::FAILURE
}

/// Bytes that look random (xorshift64).
struct Noise(u64);

impl Noise {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap_or_default() % bound
    }

    fn input(&mut self, corpus: &[Vec<u8>]) -> Vec<u8> {
        let mut input = if corpus.is_empty() || self.below(3) == 0 {
            Vec::new()
        } else {
            corpus[self.below(corpus.len())].clone()
        };
        for _ in 0..=self.below(8) {
            self.mutate(&mut input);
        }
        input
    }

    fn mutate(&mut self, input: &mut Vec<u8>) {
        let at = self.below(input.len() + 1);
        match self.below(6) {
            0 => input.truncate(at),
            1 if at < input.len() => input[at] ^= 1 << self.below(8),
            2 if at < input.len() => drop(input.remove(at)),
            3 => {
                let byte = [0, b'a', 0x80, 0xff][self.below(4)];
                let size = [1, 2, 7, 63, 64, 65, 200, 5000][self.below(8)];
                input.splice(at..at, std::iter::repeat_n(byte, size));
            }
            _ => {
                let token = TOKENS[self.below(TOKENS.len())];
                input.splice(at..at, token.iter().copied());
            }
        }
    }
}

const TOKENS: &[&[u8]] = &[
    b"<a>",
    b"</a>",
    b"<a/>",
    b"x",
    b"\0",
    b"\0\0\0",
    b"<!--",
    b"-->",
    b"--",
    b"-",
    b"<?",
    b"?>",
    b"<?xml version='1.0'?>",
    b"<!DOCTYPE a>",
    b"<!doctype",
    b"<!",
    b"<![CDATA[",
    b"]]>",
    b"<",
    b">",
    b"!",
    b"/",
    b" ",
    b"\n",
    b"\t",
    b"\r",
    b"\x0b",
    b"\xef\xbb\xbf",
    b"\xc3\xa9",
    b"\xc3",
    b"\xed\xa0\x80",
    b"\xc0\x80",
    b"\x01",
    b"\x05",
    b"\xff",
];
