/* SPDX-License-Identifier: MIT */
/*
 * The C library for C++17: decoders that free themselves, and exceptions. Copy it and
 * change it; only xmlsocket.h is kept stable.
 *
 *     xmlsocket::decoder decoder;
 *     decoder.feed(read);
 *     while (auto frame = decoder.next())
 *         handle(*frame);
 *     decoder.finish();   // when the stream has ended
 */
#ifndef XMLSOCKET_HPP
#define XMLSOCKET_HPP

#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

#include "xmlsocket.h"

namespace xmlsocket {

/* What went wrong: the status, and where, in bytes from the start of the stream, the
 * payload or the document. */
class error : public std::runtime_error {
  public:
    error(xs_status why, std::uint64_t where, const std::string &what)
        : std::runtime_error(what), status(why), offset(where) {}

    xs_status status;
    std::uint64_t offset;
};

namespace detail {

inline const std::uint8_t *bytes(std::string_view text) {
    return reinterpret_cast<const std::uint8_t *>(text.data());
}

inline std::string_view view(const std::uint8_t *data, std::size_t len) {
    return {reinterpret_cast<const char *>(data), len};
}

/* Errors that are the caller's, or nobody's. */
[[noreturn]] inline void fail(xs_status status) {
    switch (status) {
    case XS_NO_MEMORY:
        throw std::bad_alloc();
    case XS_INVALID_STATE:
        throw std::logic_error("call after the end of the stream, or before its frames were taken");
    case XS_INVALID_ARGUMENT:
        throw std::invalid_argument("argument out of its range");
    default:
        throw std::runtime_error("bug in libxmlsocket");
    }
}

} // namespace detail

/* Splits one stream into frames. Can be moved, not copied. */
class decoder {
  public:
    explicit decoder(std::uint64_t max_size = XS_DEFAULT_MAX_SIZE, std::uint32_t flags = 0)
        : handle_(xs_decoder_new(max_size, flags)) {
        if (!handle_)
            detail::fail(XS_INVALID_ARGUMENT);
    }

    /* Takes the next bytes of the stream; they are copied. */
    void feed(std::string_view data) {
        check(xs_decoder_feed(handle_.get(), detail::bytes(data), data.size()));
    }

    /* Returns the next frame, valid until the next call, or nothing until more is fed.
     * Throws error when the stream cannot be split any further. */
    std::optional<std::string_view> next() {
        const std::uint8_t *frame;
        std::size_t len;
        xs_status status = xs_decoder_next(handle_.get(), &frame, &len);
        check(status);
        if (status == XS_MORE)
            return std::nullopt;
        return detail::view(frame, len);
    }

    /* Ends the stream. Throws error if it ends inside a frame. */
    void finish() { check(xs_decoder_finish(handle_.get())); }

    /* Returns the counters. */
    xs_stats stats() const {
        xs_stats stats;
        check(xs_decoder_stats(handle_.get(), &stats));
        return stats;
    }

  private:
    struct free_decoder {
        void operator()(xs_decoder *handle) const { xs_decoder_free(handle); }
    };

    void check(xs_status status) const {
        if (status >= 0)
            return;
        if (status != XS_FRAME_TOO_BIG && status != XS_INCOMPLETE_FRAME)
            detail::fail(status);
        xs_error cause;
        xs_decoder_error(handle_.get(), &cause);
        throw error(status, cause.offset, cause.message);
    }

    std::unique_ptr<xs_decoder, free_decoder> handle_;
};

/* Returns a payload as a frame. Throws error if it holds a zero byte. */
inline std::string encode(std::string_view payload) {
    std::string frame(payload.size() + 1, '\0');
    std::size_t index = 0;
    auto *to = reinterpret_cast<std::uint8_t *>(frame.data());
    xs_status status = xs_encode(detail::bytes(payload), payload.size(), to, frame.size(), &index);
    if (status == XS_DELIMITER_IN_PAYLOAD)
        throw error(status, index, "payload contains a zero byte at index " + std::to_string(index));
    if (status != XS_OK)
        detail::fail(status);
    return frame;
}

/* Throws error for what no XML parser should see. */
inline void check_document(std::string_view frame) {
    xs_document_error found;
    xs_status status = xs_check_document(detail::bytes(frame), frame.size(), &found);
    if (status == XS_DOCUMENT_REFUSED)
        throw error(status, found.offset, found.reason);
    if (status != XS_OK)
        detail::fail(status);
}

} // namespace xmlsocket

#endif
