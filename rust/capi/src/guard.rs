//! What stands between a foreign caller and Rust.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::slice;

use crate::Status;

/// Calls `body`; a panic becomes a status, for it must not unwind into C.
pub(crate) fn guard(body: impl FnOnce() -> Status) -> Status {
    // Whatever a panic left half done is the decoder's, which is marked, or was
    // only borrowed to be read.
    catch_unwind(AssertUnwindSafe(body)).unwrap_or(Status::XsInternal)
}

/// Returns the bytes that a caller names, unless they cannot be any.
///
/// # Safety
///
/// If `data` is not null, `len` bytes can be read there for `'a`.
pub(crate) unsafe fn bytes<'a>(data: *const u8, len: usize) -> Option<&'a [u8]> {
    if data.is_null() {
        return (len == 0).then_some(&[]);
    }
    isize::try_from(len).ok()?;
    // SAFETY: it is not null, no larger than memory may be, and readable, as the
    // caller promises.
    Some(unsafe { slice::from_raw_parts(data, len) })
}

/// Writes what a call returns besides its status, if the caller wants it.
///
/// # Safety
///
/// `place` is null or may be written.
pub(crate) unsafe fn put<T>(place: *mut T, value: T) {
    if !place.is_null() {
        // SAFETY: it is not null, and the caller promises the rest.
        unsafe { place.write(value) };
    }
}

#[cfg(test)]
mod tests {
    use super::{bytes, guard};
    use crate::Status;

    /// A panic ends here.
    #[test]
    fn guard_panic_becomes_a_status() {
        assert_eq!(Status::XsInternal, guard(|| panic!("planted")));
        assert_eq!(Status::XsMore, guard(|| Status::XsMore));
    }

    /// Null with a length and lengths that no memory has are refused.
    #[test]
    fn bytes_impossible_memory_is_refused() {
        let byte = 7;
        // SAFETY: null is not read; what is too long is refused before it is.
        unsafe {
            assert_eq!(Some(&[][..]), bytes(std::ptr::null(), 0));
            assert_eq!(None, bytes(std::ptr::null(), 1));
            assert_eq!(None, bytes(&raw const byte, usize::MAX));
            assert_eq!(Some(&[7][..]), bytes(&raw const byte, 1));
        }
    }
}
