//! Connections that are open and say nothing: for measuring what they cost a server.

use std::error::Error;
use std::io::{self, Write};
use std::net::TcpStream;

use crate::json::Line;
use crate::net;
use crate::options::Options;
use crate::pattern::Pattern;
use crate::round_trip;

/// Opens connections step by step and holds them.
///
/// Each has exchanged one frame before it falls silent: a server that makes its
/// buffers with the first byte has made them. After a step comes one line of
/// output; one line of input starts the next, and after the last ends the program.
pub(crate) fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let pattern = Pattern::new(options.size, options.shape);
    let mut streams: Vec<TcpStream> = Vec::new();
    let mut reply = round_trip::reply_buffer(&pattern);
    for &count in &options.steps {
        let old = streams.len();
        net::connect_more(options.target, count, &mut streams)?;
        for (index, stream) in streams.iter_mut().enumerate().skip(old) {
            stream.set_read_timeout(Some(options.timeout))?;
            round_trip::one(index, stream, &pattern, 0, &mut reply)?;
        }
        let line = Line::default()
            .text("workload", options.workload.name())
            .text("target", &options.target.to_string())
            .integer("size", options.size as u64)
            .integer("open", streams.len() as u64);
        println!("{line}");
        io::stdout().flush()?;
        if io::stdin().read_line(&mut String::new())? == 0 {
            break;
        }
    }
    Ok(())
}
