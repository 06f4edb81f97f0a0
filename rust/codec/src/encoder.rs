//! The way out: payloads become frames.

use alloc::vec;
use alloc::vec::Vec;

use crate::search::Delimiters;
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
    let mut out = vec![0; encoded_len(payloads)];
    encode_into(payloads, &mut out)?;
    Ok(out)
}

/// Returns how many bytes the frames of `payloads` take, delimiters included.
#[must_use]
pub fn encoded_len<P: AsRef<[u8]>>(payloads: &[P]) -> usize {
    payloads
        .iter()
        .map(|payload| payload.as_ref().len() + 1)
        .sum()
}

/// Writes all payloads, each with its delimiter, to memory of the caller.
///
/// # Errors
///
/// [`DelimiterInPayload`] naming the first payload that holds a zero byte. What
/// `out` then holds must not be sent.
///
/// # Panics
///
/// If `out` is not exactly [`encoded_len`] bytes long.
pub fn encode_into<P: AsRef<[u8]>>(
    payloads: &[P],
    out: &mut [u8],
) -> Result<(), DelimiterInPayload> {
    let mut rest = &mut *out;
    for payload in payloads {
        let payload = payload.as_ref();
        let (frame, after) = rest.split_at_mut(payload.len() + 1);
        frame[..payload.len()].copy_from_slice(payload);
        frame[payload.len()] = DELIMITER;
        rest = after;
    }
    assert!(rest.is_empty(), "out must have encoded_len() bytes");
    check(payloads, out)
}

/// Checks that the only delimiters in `out` are those that end a frame.
///
/// One search of the whole is quicker than one a payload, because short payloads
/// share a step of it.
fn check<P: AsRef<[u8]>>(payloads: &[P], out: &[u8]) -> Result<(), DelimiterInPayload> {
    let mut delimiters = Delimiters::new(out);
    let mut start = 0;
    for (item, payload) in payloads.iter().enumerate() {
        let end = start + payload.as_ref().len();
        match delimiters.next() {
            Some(position) if position < end => {
                let index = position - start;
                return Err(DelimiterInPayload { index, item });
            }
            _ => start = end + 1,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{encode, encode_into, encode_many};
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

    /// Memory of the wrong size is the caller's mistake and is not half written.
    #[test]
    #[should_panic(expected = "encoded_len()")]
    fn encode_into_too_much_memory_panics() {
        let _ = encode_into(&[b"a"], &mut [0; 3]);
    }
}
