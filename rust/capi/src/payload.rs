//! Payloads on their way out, and documents on their way to a parser.

use std::ffi::{CStr, c_char};
use std::ptr;

use xmlsocket_codec::{DELIMITER, Fault, check_document, check_payloads};

use crate::Status;
use crate::guard::{bytes, guard, put};

/// Why a frame is no document.
#[repr(C)]
pub struct DocumentError {
    /// What is wrong: a text that is never freed.
    pub reason: *const c_char,
    /// Where, in bytes from the start of the frame.
    pub offset: usize,
    /// Its line, counted from 1.
    pub line: usize,
    /// Its column, counted from 1 in bytes.
    pub column: usize,
}

/// Checks that a payload may be sent: that it holds no zero byte. For callers that
/// write the payload and the zero byte themselves, as with writev().
///
/// @param payload len bytes; may be null if len is 0.
/// @param index   Where the first zero byte stands, if there is one. May be null.
/// @return XS_OK, XS_DELIMITER_IN_PAYLOAD or XS_INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xs_check_payload(
    payload: *const u8,
    len: usize,
    index: *mut usize,
) -> Status {
    guard(|| {
        // SAFETY: what the header asks of callers.
        let Some(payload) = (unsafe { bytes(payload, len) }) else {
            return Status::XsInvalidArgument;
        };
        match check_payloads(&[payload]) {
            Ok(_) => Status::XsOk,
            Err(error) => {
                // SAFETY: what the header asks of callers.
                unsafe { put(index, error.index) };
                Status::XsDelimiterInPayload
            }
        }
    })
}

/// Writes a payload as a frame: itself and one zero byte, len + 1 bytes in all.
///
/// @param payload  len bytes; may be null if len is 0.
/// @param frame    Where to write; may overlap the payload, even begin where it does.
/// @param capacity Bytes that fit there.
/// @param index    Where the first zero byte of the payload stands, if there is one.
///                 May be null.
/// @return XS_OK, XS_DELIMITER_IN_PAYLOAD, XS_NO_ROOM or XS_INVALID_ARGUMENT. Nothing
///         is written unless it is XS_OK.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xs_encode(
    payload: *const u8,
    len: usize,
    frame: *mut u8,
    capacity: usize,
    index: *mut usize,
) -> Status {
    // SAFETY: what the header asks of callers.
    let status = unsafe { xs_check_payload(payload, len, index) };
    if status != Status::XsOk {
        return status;
    }
    if frame.is_null() {
        return Status::XsInvalidArgument;
    }
    if capacity <= len {
        return Status::XsNoRoom;
    }
    // SAFETY: `len` bytes can be read, and more than that written. The memory may be
    // the same, so there is no slice of it and the copy is one for overlaps. Nothing
    // is read from null.
    unsafe {
        if len > 0 {
            ptr::copy(payload, frame, len);
        }
        frame.add(len).write(DELIMITER);
    }
    Status::XsOk
}

/// Refuses what no XML parser should see: a DOCTYPE, bytes that are no UTF-8, no XML
/// at all. It is no parser: whether the rest is well-formed is for one to say.
///
/// @param frame len bytes; may be null if len is 0.
/// @param error What is wrong and where, if the frame is refused. May be null.
/// @return XS_OK, XS_DOCUMENT_REFUSED or XS_INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xs_check_document(
    frame: *const u8,
    len: usize,
    error: *mut DocumentError,
) -> Status {
    guard(|| {
        // SAFETY: what the header asks of callers.
        let Some(frame) = (unsafe { bytes(frame, len) }) else {
            return Status::XsInvalidArgument;
        };
        let Err(found) = check_document(frame) else {
            return Status::XsOk;
        };
        let (line, column) = found.line_and_column(frame);
        let reason = reason(found.fault).as_ptr();
        let offset = found.offset;
        // SAFETY: what the header asks of callers.
        unsafe {
            put(
                error,
                DocumentError {
                    reason,
                    offset,
                    line,
                    column,
                },
            );
        }
        Status::XsDocumentRefused
    })
}

/// The texts of the crate with the zero byte that C wants.
fn reason(fault: Fault) -> &'static CStr {
    match fault {
        Fault::Empty => c"document is empty",
        Fault::NoXml => c"no XML document",
        Fault::Doctype => c"DOCTYPE is not allowed",
        Fault::NoElement => c"no element",
        Fault::UnclosedInstruction => c"processing instruction without end",
        Fault::UnclosedComment => c"comment without end",
        Fault::InvalidUtf8 => c"invalid UTF-8",
        _ => c"document is not acceptable",
    }
}

#[cfg(test)]
mod tests {
    use super::reason;
    use xmlsocket_codec::Fault;

    /// The texts are those of the crate.
    #[test]
    fn reason_every_fault_has_the_text_of_the_crate() {
        for fault in [
            Fault::Empty,
            Fault::NoXml,
            Fault::Doctype,
            Fault::NoElement,
            Fault::UnclosedInstruction,
            Fault::UnclosedComment,
            Fault::InvalidUtf8,
        ] {
            assert_eq!(fault.to_string(), reason(fault).to_str().unwrap());
        }
    }
}
