//! Takes the documentation of the extension from its twin in Python.
//!
//! The two have the same names, so one text serves both: `docs.rs` includes what
//! is written here, a file for each name. A test compares all of them with what
//! Python reads in the twin.

use std::collections::BTreeMap;
use std::path::Path;
use std::{env, fs, io};

const TWIN: &str = "../../python/xmlsocket/pure.py";
const QUOTES: &str = "\"\"\"";

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed={TWIN}");
    let folder = env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?;
    for (name, text) in docstrings(&fs::read_to_string(TWIN)?) {
        fs::write(Path::new(&folder).join(name), text)?;
    }
    Ok(())
}

/// Returns the docstrings of classes, of their methods and of functions, by name.
fn docstrings(source: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut class = "";
    let mut silent = None; // what was defined last and has no docstring yet
    let mut lines = source.lines();
    while let Some(line) = lines.next() {
        let text = line.trim_start();
        let indent = line.len() - text.len();
        if let Some(name) = defined(text, "class ") {
            class = name;
            silent = Some(name.to_owned());
        } else if let Some(name) = defined(text, "def ") {
            silent = Some(match indent {
                0 => name.to_owned(),
                _ => format!("{class}.{name}"),
            });
        } else if let Some(start) = text.strip_prefix(QUOTES) {
            let text = docstring(start, indent, &mut lines);
            if let Some(name) = silent.take() {
                found.insert(name, text);
            }
        }
    }
    found
}

/// Returns what a line defines, if it begins with the keyword.
fn defined<'a>(line: &'a str, keyword: &str) -> Option<&'a str> {
    line.strip_prefix(keyword)?.split(['(', ':']).next()
}

/// Reads on to the closing quotes and removes the indentation.
fn docstring<'a>(
    start: &'a str,
    indent: usize,
    lines: &mut impl Iterator<Item = &'a str>,
) -> String {
    let mut text = String::new();
    let mut line = start;
    loop {
        if let Some((end, _)) = line.split_once(QUOTES) {
            text += end;
            return text.trim().to_owned();
        }
        text += line;
        text += "\n";
        let Some(next) = lines.next() else {
            return text;
        };
        line = next.get(indent..).unwrap_or_default();
    }
}
