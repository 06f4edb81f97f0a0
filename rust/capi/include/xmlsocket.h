/* SPDX-License-Identifier: MIT */
/*
 * libxmlsocket: documents over a stream, each ended by one zero byte (the framing of
 * Flash's XMLSocket). No I/O, no threads, no global state. Made by cbindgen from
 * rust/capi/src; do not edit.
 *
 *     xs_decoder *decoder = xs_decoder_new(XS_DEFAULT_MAX_SIZE, XS_SKIP_EMPTY);
 *     const uint8_t *frame;
 *     size_t len;
 *     xs_status status = XS_OK;
 *
 *     while ((got = read(fd, buffer, sizeof buffer)) > 0) {
 *         status = xs_decoder_feed(decoder, buffer, got);
 *         while (status >= 0 && (status = xs_decoder_next(decoder, &frame, &len)) == XS_OK)
 *             handle(frame, len);
 *         if (status < 0)
 *             break;
 *     }
 *     if (status >= 0)
 *         status = xs_decoder_finish(decoder);
 *     xs_decoder_free(decoder);
 *
 * Guarantees. The frames, the error and its offset depend on the bytes of the stream,
 * never on how it was cut. Frames before a bad one are handed out first. No byte is
 * searched twice. What a stream leaves behind when it ends inside a frame is never
 * handed out as one.
 *
 * Memory. A decoder belongs to whoever made it, until xs_decoder_free(). What is fed is
 * copied. A frame belongs to its decoder and is valid until the next call with it, but
 * for xs_decoder_error() and xs_decoder_stats(); copy what you keep. A decoder holds the
 * unfinished frame, of at most max_size bytes, and what was fed since, with as much
 * again for growth: ask for frames until XS_MORE before you feed on. Memory that cannot
 * be had is XS_NO_MEMORY when feeding; xs_decoder_new() ends the program then.
 *
 * Errors. Calls return a status: errors are negative, XS_OK is 0. What ends a stream
 * stays: xs_decoder_feed(), xs_decoder_next() and xs_decoder_finish() return it again
 * (the first two XS_INVALID_STATE after the last), and xs_decoder_error() has the place
 * and the words. Null where there must be none is XS_INVALID_ARGUMENT, also for the decoder.
 * A bug in the library that Rust notices is XS_INTERNAL, with a message on standard
 * error; nothing is thrown or unwound into the caller.
 *
 * Threads. A decoder is for one thread at a time; different decoders have nothing in
 * common. All other functions may be called anywhere.
 *
 * Stable. Programs that were compiled against this header work with every library that
 * has the same XS_ABI_VERSION. Until version 1.0 of the package it may change with every
 * minor version; the shared library is named after it.
 */

#ifndef XMLSOCKET_H
#define XMLSOCKET_H

#include <stddef.h>
#include <stdint.h>

/**
 * Changes when a program that was built with an older header has to be built anew.
 */
#define XS_ABI_VERSION 1

/**
 * No limit for the length of a frame: the peer then decides how much memory is used.
 */
#define XS_NO_LIMIT UINT64_MAX

/**
 * The limit that the codec has elsewhere: 1 MiB.
 */
#define XS_DEFAULT_MAX_SIZE (1 << 20)

/**
 * Flag: drop and count frames above the limit, where they would end the stream.
 */
#define XS_SKIP_OVERSIZE 1

/**
 * Flag: drop and count empty frames.
 */
#define XS_SKIP_EMPTY 2

/**
 * What became of a call. Errors are negative.
 */
typedef enum xs_status {
    /**
     * Done.
     */
    XS_OK = 0,
    /**
     * There is no further frame until more is fed.
     */
    XS_MORE = 1,
    /**
     * A frame is longer than the limit: the stream has ended.
     */
    XS_FRAME_TOO_BIG = -1,
    /**
     * The stream ended inside a frame.
     */
    XS_INCOMPLETE_FRAME = -2,
    /**
     * A payload holds a zero byte: the peer would see two frames.
     */
    XS_DELIMITER_IN_PAYLOAD = -3,
    /**
     * A frame holds no acceptable document.
     */
    XS_DOCUMENT_REFUSED = -4,
    /**
     * A pointer is null that must not be, or a number is out of its range.
     */
    XS_INVALID_ARGUMENT = -5,
    /**
     * The call makes no sense now: it comes after the end, or frames still wait.
     */
    XS_INVALID_STATE = -6,
    /**
     * What is to be written does not fit.
     */
    XS_NO_ROOM = -7,
    /**
     * There is not enough memory. Nothing was taken; the call may be repeated.
     */
    XS_NO_MEMORY = -8,
    /**
     * A bug in this library. The decoder can only be freed.
     */
    XS_INTERNAL = -9,
} xs_status;

/**
 * Splits one stream into frames. Made by xs_decoder_new(), freed by
 * xs_decoder_free().
 */
typedef struct xs_decoder xs_decoder;

/**
 * What ended a stream.
 */
typedef struct xs_error {
    /**
     * XS_FRAME_TOO_BIG, XS_INCOMPLETE_FRAME, or XS_OK if nothing did.
     */
    enum xs_status status;
    /**
     * Where the frame starts, in bytes from the start of the stream. It does not
     * depend on how the stream was cut.
     */
    uint64_t offset;
    /**
     * The limit, with XS_FRAME_TOO_BIG.
     */
    uint64_t limit;
    /**
     * The same in words, ended by a zero byte; empty if nothing ended the stream.
     */
    char message[128];
} xs_error;

/**
 * The counters of a stream.
 */
typedef struct xs_stats {
    /**
     * Bytes consumed: delimiters and skipped frames too, nothing after an error.
     * What was fed and not yet searched by xs_decoder_next() is not in it.
     */
    uint64_t bytes_in;
    /**
     * Frames handed out.
     */
    uint64_t frames_in;
    /**
     * Bytes of those frames, delimiters excluded.
     */
    uint64_t payload_in;
    /**
     * Empty frames dropped because of XS_SKIP_EMPTY.
     */
    uint64_t empty_skipped;
    /**
     * Frames dropped because of XS_SKIP_OVERSIZE.
     */
    uint64_t oversize_skipped;
} xs_stats;

/**
 * Why a frame is no document.
 */
typedef struct xs_document_error {
    /**
     * What is wrong: a text that is never freed.
     */
    const char *reason;
    /**
     * Where, in bytes from the start of the frame.
     */
    size_t offset;
    /**
     * Its line, counted from 1.
     */
    size_t line;
    /**
     * Its column, counted from 1 in bytes.
     */
    size_t column;
} xs_document_error;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Returns the XS_ABI_VERSION of the library, to be compared with the header's.
 */
uint32_t xs_abi_version(void);

/**
 * Makes the decoder of one stream.
 *
 * @param max_size Bytes of one frame at most, its zero byte excluded: any number,
 *                 0 admits only empty frames; XS_DEFAULT_MAX_SIZE, XS_NO_LIMIT.
 * @param flags    XS_SKIP_OVERSIZE and XS_SKIP_EMPTY, or 0.
 * @return A decoder to be freed with xs_decoder_free(), or null for unknown flags.
 */
struct xs_decoder *xs_decoder_new(uint64_t max_size, uint32_t flags);

/**
 * Frees a decoder, and the frames that it handed out. Null is ignored.
 */
void xs_decoder_free(struct xs_decoder *decoder);

/**
 * Takes the next bytes of the stream. They are copied; none of them is looked at.
 * Then call xs_decoder_next() until it returns XS_MORE.
 *
 * @param data len bytes, any number; may be null if len is 0.
 * @return XS_OK; what ended the stream; XS_INVALID_STATE after xs_decoder_finish();
 *         XS_NO_MEMORY, XS_INVALID_ARGUMENT, XS_INTERNAL.
 */
enum xs_status xs_decoder_feed(struct xs_decoder *decoder,
                               const uint8_t *data,
                               size_t len);

/**
 * Hands out the next frame that is complete.
 *
 * @param frame Set to the frame, without its zero byte, which is not behind it for
 *              certain. Valid until the next call with this decoder other than
 *              xs_decoder_error() and xs_decoder_stats(). Null unless XS_OK.
 * @param len   Set to its length in bytes, which may be 0. 0 unless XS_OK.
 * @return XS_OK, XS_MORE; XS_FRAME_TOO_BIG, again and again, after the frames before
 *         it; XS_INVALID_STATE after xs_decoder_finish(); XS_INVALID_ARGUMENT,
 *         XS_INTERNAL.
 */
enum xs_status xs_decoder_next(struct xs_decoder *decoder,
                               const uint8_t **frame,
                               size_t *len);

/**
 * Tells the decoder that the stream has ended, once xs_decoder_next() has returned
 * XS_MORE.
 *
 * @return XS_OK if it ended behind a frame; what ended the stream, else, now and for
 *         ever; XS_INVALID_STATE while frames wait for xs_decoder_next();
 *         XS_INVALID_ARGUMENT, XS_INTERNAL.
 */
enum xs_status xs_decoder_finish(struct xs_decoder *decoder);

/**
 * Shows what has arrived of the unfinished frame, for diagnosis: it is no document.
 *
 * @param partial Set to its bytes; valid as long as a frame would be.
 * @param len     Set to their number: 0 while a frame is being skipped and after
 *                XS_FRAME_TOO_BIG.
 * @return XS_OK, XS_INVALID_ARGUMENT or XS_INTERNAL.
 */
enum xs_status xs_decoder_partial(struct xs_decoder *decoder,
                                  const uint8_t **partial,
                                  size_t *len);

/**
 * Tells what ended the stream.
 *
 * @param error Set to it, with the status XS_OK if nothing did.
 * @return XS_OK, XS_INVALID_ARGUMENT or XS_INTERNAL.
 */
enum xs_status xs_decoder_error(struct xs_decoder *decoder, struct xs_error *error);

/**
 * Tells what was counted so far.
 *
 * @param stats Set to the counters.
 * @return XS_OK, XS_INVALID_ARGUMENT or XS_INTERNAL.
 */
enum xs_status xs_decoder_stats(struct xs_decoder *decoder, struct xs_stats *stats);

/**
 * Checks that a payload may be sent: that it holds no zero byte. For callers that
 * write the payload and the zero byte themselves, as with writev().
 *
 * @param payload len bytes; may be null if len is 0.
 * @param index   Where the first zero byte stands, if there is one. May be null.
 * @return XS_OK, XS_DELIMITER_IN_PAYLOAD or XS_INVALID_ARGUMENT.
 */
enum xs_status xs_check_payload(const uint8_t *payload, size_t len, size_t *index);

/**
 * Writes a payload as a frame: itself and one zero byte, len + 1 bytes in all.
 *
 * @param payload  len bytes; may be null if len is 0.
 * @param frame    Where to write; may overlap the payload, even begin where it does.
 * @param capacity Bytes that fit there.
 * @param index    Where the first zero byte of the payload stands, if there is one.
 *                 May be null.
 * @return XS_OK, XS_DELIMITER_IN_PAYLOAD, XS_NO_ROOM or XS_INVALID_ARGUMENT. Nothing
 *         is written unless it is XS_OK.
 */
enum xs_status xs_encode(const uint8_t *payload,
                         size_t len,
                         uint8_t *frame,
                         size_t capacity,
                         size_t *index);

/**
 * Refuses what no XML parser should see: a DOCTYPE, bytes that are no UTF-8, no XML
 * at all. It is no parser: whether the rest is well-formed is for one to say.
 *
 * @param frame len bytes; may be null if len is 0.
 * @param error What is wrong and where, if the frame is refused. May be null.
 * @return XS_OK, XS_DOCUMENT_REFUSED or XS_INVALID_ARGUMENT.
 */
enum xs_status xs_check_document(const uint8_t *frame,
                                 size_t len,
                                 struct xs_document_error *error);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* XMLSOCKET_H */
