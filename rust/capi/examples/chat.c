/* A chat server in one thread, around poll(): what one client sends, all get, the
 * sender too.
 *
 *     cc chat.c $(pkg-config --cflags --libs xmlsocket) -o chat && ./chat 9339
 *
 * Port 0 takes a free one. The address is printed. SIGINT and SIGTERM end it.
 */
#define _POSIX_C_SOURCE 200809L

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <xmlsocket.h>

enum {
    MAX_CLIENTS = 256,
    MAX_DOCUMENT = 1 << 16, /* bytes */
    MAX_QUEUED = 1 << 20,   /* bytes that may wait for a client before it is cut off */
};

struct client {
    int fd; /* -1 when it is to be forgotten */
    bool ended; /* it sends no more, but may still read */
    xs_decoder *decoder;
    uint8_t *queue; /* what waits to be sent */
    size_t queued;
    size_t room;
};

static struct client clients[MAX_CLIENTS];
static size_t count;
static int wake[2]; /* a signal writes into it, so that poll() cannot miss one */

static void on_signal(int number) {
    (void)number;
    int saved = errno;
    ssize_t written = write(wake[1], "", 1);
    (void)written;
    errno = saved;
}

static void drop(struct client *client, const char *why) {
    if (client->fd < 0)
        return;
    if (why)
        fprintf(stderr, "client %d: %s\n", client->fd, why);
    close(client->fd);
    client->fd = -1;
}

/* Says why the stream of a client cannot go on, in the library's words. */
static void drop_for_error(struct client *client) {
    xs_error error;
    xs_decoder_error(client->decoder, &error);
    drop(client, error.status == XS_OK ? "failed" : error.message);
}

/* Sends what waits, as far as the client takes it. */
static void flush(struct client *client) {
    while (client->fd >= 0 && client->queued > 0) {
        ssize_t sent = send(client->fd, client->queue, client->queued, MSG_NOSIGNAL);
        if (sent < 0) {
            if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
                drop(client, strerror(errno));
            return;
        }
        client->queued -= (size_t)sent;
        memmove(client->queue, client->queue + sent, client->queued);
    }
    if (client->ended)
        drop(client, NULL);
}

/* Puts a document and its zero byte behind what waits. */
static void enqueue(struct client *client, const uint8_t *document, size_t len) {
    if (client->fd < 0)
        return;
    size_t needed = client->queued + len + 1;
    if (needed > MAX_QUEUED) {
        drop(client, "takes nothing of what waits for it");
        return;
    }
    if (needed > client->room) {
        uint8_t *queue = realloc(client->queue, needed * 2);
        if (!queue) {
            drop(client, "no memory");
            return;
        }
        client->queue = queue;
        client->room = needed * 2;
    }
    size_t left = client->room - client->queued;
    if (xs_encode(document, len, client->queue + client->queued, left, NULL) == XS_OK)
        client->queued = needed;
}

static void receive(struct client *client) {
    static uint8_t buffer[65536];
    ssize_t got = recv(client->fd, buffer, sizeof buffer, 0);
    if (got < 0) {
        if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
            drop(client, strerror(errno));
        return;
    }
    if (got == 0) {
        if (xs_decoder_finish(client->decoder) != XS_OK) {
            drop_for_error(client);
        } else {
            client->ended = true;
        }
        return;
    }
    const uint8_t *document;
    size_t len;
    xs_status status = xs_decoder_feed(client->decoder, buffer, (size_t)got);
    while (status >= 0 && (status = xs_decoder_next(client->decoder, &document, &len)) == XS_OK) {
        /* Sending comes later: until then nobody else calls this decoder. */
        for (size_t i = 0; i < count; i++)
            enqueue(&clients[i], document, len);
    }
    if (status < 0)
        drop_for_error(client);
}

static void welcome(int listener) {
    int fd = accept(listener, NULL, NULL);
    if (fd < 0)
        return;
    xs_decoder *decoder = count < MAX_CLIENTS ? xs_decoder_new(MAX_DOCUMENT, XS_SKIP_EMPTY) : NULL;
    if (!decoder) {
        close(fd);
        return;
    }
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    clients[count++] = (struct client){.fd = fd, .decoder = decoder};
}

static void forget_dropped(void) {
    for (size_t i = 0; i < count;) {
        if (clients[i].fd >= 0) {
            i++;
            continue;
        }
        xs_decoder_free(clients[i].decoder);
        free(clients[i].queue);
        clients[i] = clients[--count];
    }
}

static int listen_on(uint16_t port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    socklen_t size = sizeof address;
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        bind(fd, (struct sockaddr *)&address, size) < 0 || listen(fd, 128) < 0 ||
        fcntl(fd, F_SETFL, O_NONBLOCK) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) < 0) {
        perror("chat");
        exit(1);
    }
    fprintf(stderr, "listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
    return fd;
}

int main(int argc, char **argv) {
    static struct pollfd polled[MAX_CLIENTS + 2];
    struct sigaction action = {.sa_handler = on_signal};

    if (xs_abi_version() != XS_ABI_VERSION || pipe(wake) < 0)
        return 1;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    polled[0] = (struct pollfd){.fd = wake[0], .events = POLLIN};
    polled[1].fd = listen_on((uint16_t)(argc > 1 ? atoi(argv[1]) : 9339));

    while (!polled[0].revents) {
        size_t before = count;
        /* Full: who comes next waits in the listener's queue. */
        polled[1].events = count < MAX_CLIENTS ? POLLIN : 0;
        for (size_t i = 0; i < before; i++) {
            polled[i + 2].fd = clients[i].fd;
            polled[i + 2].events = (short)((clients[i].ended ? 0 : POLLIN) |
                                           (clients[i].queued ? POLLOUT : 0));
        }
        if (poll(polled, before + 2, -1) < 0) {
            if (errno == EINTR)
                continue;
            perror("chat");
            return 1;
        }
        for (size_t i = 0; i < before; i++) {
            if (clients[i].ended && polled[i + 2].revents & (POLLERR | POLLHUP))
                drop(&clients[i], NULL);
            else if (!clients[i].ended && polled[i + 2].revents & (POLLIN | POLLERR | POLLHUP) &&
                     clients[i].fd >= 0)
                receive(&clients[i]);
        }
        for (size_t i = 0; i < before; i++)
            flush(&clients[i]);
        forget_dropped();
        if (polled[1].revents)
            welcome(polled[1].fd);
    }
    for (size_t i = 0; i < count; i++)
        drop(&clients[i], NULL);
    forget_dropped();
    close(polled[1].fd);
    return 0;
}
