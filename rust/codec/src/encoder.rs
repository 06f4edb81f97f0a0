//! The way out: payloads become frames.

use alloc::vec::Vec;

use crate::{DELIMITER, DelimiterInPayload};

/// Returns `payload` and the delimiter.
///
/// # Errors
///
/// [`DelimiterInPayload`] when the payload holds a zero byte: the peer would see
/// two frames.
///
/// ```
/// use xmlsocket_codec::encode;
///
/// assert_eq!(encode(b"<a/>")?, b"<a/>\0");
/// assert_eq!(encode(b"a\0b").unwrap_err().index, 1);
/// # Ok::<(), xmlsocket_codec::DelimiterInPayload>(())
/// ```
pub fn encode(payload: &[u8]) -> Result<Vec<u8>, DelimiterInPayload> {
    encode_many(&[payload])
}

/// Returns all payloads one after the other, each with its delimiter, in one
/// allocation of exactly the size needed.
///
/// # Errors
///
/// [`DelimiterInPayload`] naming the first payload that holds a zero byte.
///
/// ```
/// use xmlsocket_codec::encode_many;
///
/// assert_eq!(encode_many(&["<a/>", "<b/>"])?, b"<a/>\0<b/>\0");
/// # Ok::<(), xmlsocket_codec::DelimiterInPayload>(())
/// ```
pub fn encode_many<P: AsRef<[u8]>>(payloads: &[P]) -> Result<Vec<u8>, DelimiterInPayload> {
    let mut frames = Vec::with_capacity(check_payloads(payloads)?);
    write_frames(payloads, |bytes| frames.extend_from_slice(bytes));
    Ok(frames)
}

/// Checks all payloads and returns how many bytes their frames take, delimiters
/// included: the first half of [`encode_many`], for callers that bring the memory.
///
/// # Errors
///
/// [`DelimiterInPayload`] naming the first payload that holds a zero byte.
///
/// ```
/// use xmlsocket_codec::check_payloads;
///
/// assert_eq!(check_payloads(&["<a/>", ""]), Ok(6));
/// assert_eq!(check_payloads(&["<a/>", "b\0"]).unwrap_err().item, 1);
/// ```
pub fn check_payloads<P: AsRef<[u8]>>(payloads: &[P]) -> Result<usize, DelimiterInPayload> {
    let mut length = 0;
    for (item, payload) in payloads.iter().enumerate() {
        let payload = payload.as_ref();
        if let Some(index) = find_delimiter(payload) {
            return Err(DelimiterInPayload { index, item });
        }
        length += payload.len() + 1;
    }
    Ok(length)
}

/// Gives each payload and its delimiter to `write`, in order: the second half of
/// [`encode_many`], for payloads that [`check_payloads`] accepted.
///
/// ```
/// use xmlsocket_codec::{check_payloads, write_frames};
///
/// let payloads = ["<a/>", "<b/>"];
/// let mut memory = Vec::with_capacity(check_payloads(&payloads)?);
/// write_frames(&payloads, |bytes| memory.extend_from_slice(bytes));
/// assert_eq!(memory, b"<a/>\0<b/>\0");
/// # Ok::<(), xmlsocket_codec::DelimiterInPayload>(())
/// ```
pub fn write_frames<P: AsRef<[u8]>>(payloads: &[P], mut write: impl FnMut(&[u8])) {
    for payload in payloads {
        write(payload.as_ref());
        write(&[DELIMITER]);
    }
}

/// Returns where the first zero byte stands.
#[inline]
fn find_delimiter(payload: &[u8]) -> Option<usize> {
    // Looking for the lowest byte has no way out of the loop, so it becomes vector
    // instructions: quicker than a call of memchr if the payload is short.
    let lowest = |payload: &[u8]| payload.iter().fold(u8::MAX, |low, &byte| low.min(byte));
    if payload.len() < 64 && lowest(payload) != DELIMITER {
        return None;
    }
    memchr::memchr(DELIMITER, payload)
}

#[cfg(test)]
mod tests {
    use super::{encode, encode_many};
    use crate::DelimiterInPayload;
    use alloc::vec;
    use alloc::vec::Vec;

    /// Frames follow one another in order, empty ones included.
    #[test]
    fn encode_many_several_payloads_joins_frames_in_order() {
        let payloads: [&[u8]; 3] = [b"<a/>", b"", b"b"];

        assert_eq!(Ok(b"<a/>\0\0b\0".to_vec()), encode_many(&payloads));
        assert_eq!(Ok(Vec::new()), encode_many::<&[u8]>(&[]));
        assert_eq!(Ok(vec![0]), encode(b""));
    }

    /// A zero byte is found at every place of every payload, whatever its length.
    #[test]
    fn encode_many_delimiter_anywhere_names_item_and_index() {
        for len in [1, 7, 39, 40, 63, 64, 65, 200] {
            for index in 0..len {
                for item in 0..4 {
                    let mut payloads = vec![vec![b'x'; len]; 4];
                    payloads[item][index] = 0;
                    // A later fault must not hide the first one.
                    payloads[3][len - 1] = 0;

                    assert_eq!(
                        Err(DelimiterInPayload { index, item }),
                        encode_many(&payloads),
                        "length {len}"
                    );
                }
            }
        }
    }
}
