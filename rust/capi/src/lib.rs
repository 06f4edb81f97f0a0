//! The codec for C, and for everything that can call C: `libxmlsocket`.
//!
//! `include/xmlsocket.h` is made from this crate (`make header`); its first comment
//! tells who owns what and what errors are. Here are only the checks that a foreign
//! caller needs: null pointers, numbers out of range, and panics, which must not
//! leave Rust.

#![allow(
    clippy::doc_markdown,
    reason = "these are comments of the header, in which no name has backticks"
)]
#![allow(
    clippy::missing_safety_doc,
    reason = "the header's first comment tells it once for all functions"
)]

pub mod decoder;
mod guard;
pub mod payload;

/// Changes when a program that was built with an older header has to be built anew.
pub const XS_ABI_VERSION: u32 = 1;

/// No limit for the length of a frame: the peer then decides how much memory is used.
pub const XS_NO_LIMIT: u64 = u64::MAX;

/// The limit that the codec has elsewhere: 1 MiB.
pub const XS_DEFAULT_MAX_SIZE: u64 = 1 << 20;

/// Flag: drop and count frames above the limit, where they would end the stream.
pub const XS_SKIP_OVERSIZE: u32 = 1;

/// Flag: drop and count empty frames.
pub const XS_SKIP_EMPTY: u32 = 2;

/// What became of a call. Errors are negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum Status {
    /// Done.
    XsOk = 0,
    /// There is no further frame until more is fed.
    XsMore = 1,
    /// A frame is longer than the limit: the stream has ended.
    XsFrameTooBig = -1,
    /// The stream ended inside a frame.
    XsIncompleteFrame = -2,
    /// A payload holds a zero byte: the peer would see two frames.
    XsDelimiterInPayload = -3,
    /// A frame holds no acceptable document.
    XsDocumentRefused = -4,
    /// A pointer is null that must not be, or a number is out of its range.
    XsInvalidArgument = -5,
    /// The call makes no sense now: it comes after the end, or frames still wait.
    XsInvalidState = -6,
    /// What is to be written does not fit.
    XsNoRoom = -7,
    /// There is not enough memory. Nothing was taken; the call may be repeated.
    XsNoMemory = -8,
    /// A bug in this library. The decoder can only be freed.
    XsInternal = -9,
}

/// Returns the XS_ABI_VERSION of the library, to be compared with the header's.
#[unsafe(no_mangle)]
pub extern "C" fn xs_abi_version() -> u32 {
    XS_ABI_VERSION
}
