/* Does with the C library what it is told, a line at a time, and prints what came of
 * it: what tests/vendor/test_capi.py compares with the vectors.
 *
 *     decode MAX_SIZE FLAGS PIECE...   a stream in pieces, in hexadecimal
 *     encode PAYLOAD...
 *     check FRAME
 *     misuse                           calls that must be refused, in one go
 *
 * Bytes are in hexadecimal behind an x, so that nothing is x.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xmlsocket.h>

/* The bytes of a word, in memory of exactly their number: reading further is noticed. */
static uint8_t *bytes(const char *word, size_t *len) {
    assert(*word == 'x');
    *len = strlen(++word) / 2;
    uint8_t *data = *len ? malloc(*len) : NULL;
    for (size_t i = 0; i < *len; i++) {
        unsigned byte;
        int found = sscanf(word + 2 * i, "%2x", &byte);
        assert(found == 1);
        data[i] = (uint8_t)byte;
    }
    return data;
}

static void show(const char *name, const uint8_t *data, size_t len) {
    printf(" %s=x", name);
    for (size_t i = 0; i < len; i++)
        printf("%02x", data[i]);
}

static void show_held(xs_decoder *decoder, const char *name) {
    const uint8_t *held;
    size_t len;
    xs_status status = xs_decoder_partial(decoder, &held, &len);
    assert(status == XS_OK);
    show(name, held, len);
}

static void decode(void) {
    uint64_t max_size = strtoull(strtok(NULL, " "), NULL, 10);
    uint32_t flags = (uint32_t)strtoul(strtok(NULL, " "), NULL, 10);
    xs_decoder *decoder = xs_decoder_new(max_size, flags);
    const uint8_t *frame = NULL;
    size_t len;
    xs_status status = XS_MORE;
    for (char *word; status >= 0 && (word = strtok(NULL, " "));) {
        uint8_t *data = bytes(word, &len);
        status = xs_decoder_feed(decoder, data, len);
        free(data); /* it was copied */
        while (status >= 0 && (status = xs_decoder_next(decoder, &frame, &len)) == XS_OK)
            show("frame", frame, len);
    }
    assert(frame == NULL && len == 0);
    show_held(decoder, "held");
    xs_status end = xs_decoder_finish(decoder);
    assert(status == XS_MORE || status == end);
    status = xs_decoder_finish(decoder);
    assert(status == end);
    status = xs_decoder_next(decoder, &frame, &len);
    assert(status == XS_INVALID_STATE);
    status = xs_decoder_feed(decoder, NULL, 0);
    assert(status == XS_INVALID_STATE);
    show_held(decoder, "partial");
    xs_error error;
    status = xs_decoder_error(decoder, &error);
    assert(status == XS_OK && error.status == end);
    xs_stats stats;
    status = xs_decoder_stats(decoder, &stats);
    assert(status == XS_OK);
    printf(" status=%d offset=%" PRIu64 " limit=%" PRIu64, end, error.offset, error.limit);
    printf(" bytes_in=%" PRIu64 " frames_in=%" PRIu64 " payload_in=%" PRIu64, stats.bytes_in,
           stats.frames_in, stats.payload_in);
    printf(" empty_skipped=%" PRIu64 " oversize_skipped=%" PRIu64 " message=%s\n",
           stats.empty_skipped, stats.oversize_skipped, error.message);
    xs_decoder_free(decoder);
}

/* Payloads one after the other into memory of exactly the size that they need. */
static void encode(void) {
    uint8_t *out = NULL;
    size_t used = 0;
    size_t item = 0;
    for (char *word; (word = strtok(NULL, " ")); item++) {
        size_t len;
        size_t index = 0;
        uint8_t *payload = bytes(word, &len);
        out = realloc(out, used + len + 1);
        xs_status checked = xs_check_payload(payload, len, &index);
        xs_status status = xs_encode(payload, len, out + used, len, NULL);
        assert(status == (checked == XS_OK ? XS_NO_ROOM : checked));
        status = xs_encode(payload, len, out + used, len + 1, &index);
        free(payload);
        assert(status == checked);
        if (status == XS_DELIMITER_IN_PAYLOAD) {
            printf(" item=%zu index=%zu\n", item, index);
            free(out);
            return;
        }
        assert(status == XS_OK);
        used += len + 1;
    }
    show("encoded", out, used);
    putchar('\n');
    free(out);
}

static void check(void) {
    size_t len;
    uint8_t *frame = bytes(strtok(NULL, " "), &len);
    xs_document_error error;
    xs_status status = xs_check_document(frame, len, &error);
    xs_status again = xs_check_document(frame, len, NULL);
    assert(status == again);
    if (status == XS_OK)
        puts(" accepted");
    else
        printf(" status=%d offset=%zu line=%zu column=%zu reason=%s\n", status, error.offset,
               error.line, error.column, error.reason);
    free(frame);
}

#define REFUSED(call) assert((call) == XS_INVALID_ARGUMENT)

static void misuse(void) {
    const uint8_t *frame;
    size_t len;
    uint8_t out[8] = "abc";
    xs_error error;
    xs_stats stats;
    xs_decoder *decoder = xs_decoder_new(XS_NO_LIMIT, 0);

    assert(!xs_decoder_new(XS_DEFAULT_MAX_SIZE, 4));
    xs_decoder_free(NULL);
    REFUSED(xs_decoder_feed(NULL, out, 1));
    REFUSED(xs_decoder_feed(decoder, NULL, 1));
    REFUSED(xs_decoder_feed(decoder, out, SIZE_MAX));
    REFUSED(xs_decoder_next(NULL, &frame, &len));
    REFUSED(xs_decoder_next(decoder, NULL, &len));
    REFUSED(xs_decoder_next(decoder, &frame, NULL));
    REFUSED(xs_decoder_partial(NULL, &frame, &len));
    REFUSED(xs_decoder_partial(decoder, NULL, &len));
    REFUSED(xs_decoder_partial(decoder, &frame, NULL));
    REFUSED(xs_decoder_finish(NULL));
    REFUSED(xs_decoder_error(NULL, &error));
    REFUSED(xs_decoder_error(decoder, NULL));
    REFUSED(xs_decoder_stats(NULL, &stats));
    REFUSED(xs_decoder_stats(decoder, NULL));
    REFUSED(xs_check_payload(NULL, 1, &len));
    REFUSED(xs_check_payload(out, SIZE_MAX, &len));
    REFUSED(xs_encode(NULL, 1, out, 8, &len));
    REFUSED(xs_encode(out, 1, NULL, 8, &len));
    REFUSED(xs_check_document(NULL, 1, NULL));

    /* Nothing of that did any harm. */
    assert(xs_decoder_error(decoder, &error) == XS_OK && error.status == XS_OK);
    assert(error.message[0] == '\0');
    assert(xs_decoder_feed(decoder, (const uint8_t *)"<a/>\0<b/>", 10) == XS_OK);
    /* A frame that waits must not be lost. */
    assert(xs_decoder_finish(decoder) == XS_INVALID_STATE);
    assert(xs_decoder_next(decoder, &frame, &len) == XS_OK && len == 4);
    assert(xs_decoder_finish(decoder) == XS_INVALID_STATE);
    assert(xs_decoder_next(decoder, &frame, &len) == XS_OK && !memcmp(frame, "<b/>", 4));
    assert(xs_decoder_next(decoder, &frame, &len) == XS_MORE && !frame && !len);
    assert(xs_decoder_finish(decoder) == XS_OK);
    xs_decoder_free(decoder);

    /* In place, and to an overlapping place. */
    assert(xs_encode(out, 3, out, 4, NULL) == XS_OK && !memcmp(out, "abc", 4));
    assert(xs_encode(out, 3, out + 1, 4, NULL) == XS_OK && !memcmp(out, "aabc", 5));
    assert(xs_abi_version() == XS_ABI_VERSION);
    puts(" refused");
}

int main(void) {
    static char line[1 << 20];
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = '\0';
        const char *what = strtok(line, " ");
        if (!strcmp(what, "decode"))
            decode();
        else if (!strcmp(what, "encode"))
            encode();
        else if (!strcmp(what, "check"))
            check();
        else if (!strcmp(what, "misuse"))
            misuse();
        else
            return 2;
    }
    return 0;
}
