/* The far side of a benchmark: an HTTP/1.1 server that answers every request with one fixed answer
 * and counts. It plays the provider and the webhook receiver, for every peer alike.
 *
 *   sink --marker TEXT [--answer TEXT] [--type TEXT] [--port N] [--seconds N]
 *
 * Prints {"port": N} when it listens (127.0.0.1 only). GET /__count answers the counts as JSON,
 * POST /__reset forgets them. A request's identity is what follows the marker, anywhere in head or
 * body, up to a quote, &, comma, brace or blank; `distinct` counts identities, so a repeat is seen.
 * Ends after --seconds (3600) or with its parent. Not served: chunked requests (501).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BUFFER = 64 * 1024, MAX_FD = 16384, EVENTS = 256 };

struct connection {
    size_t have;         /* bytes read and not yet served */
    char *output;        /* bytes the kernel would not take yet */
    size_t waiting;
    char input[BUFFER + 1];
};

static struct connection *connections[MAX_FD];
static const char *marker = "";
static char answer[4096];
static size_t answer_length;
static struct { uint64_t requests, distinct, unmarked, first_ns, last_ns, last_new_ns; } counts;
static uint64_t *seen;
static size_t seen_size;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void forget(void) {
    memset(&counts, 0, sizeof counts);
    free(seen);
    seen_size = 1 << 16;
    seen = calloc(seen_size, sizeof *seen);
    if (!seen) fail("calloc");
}

static int place(uint64_t *table, size_t size, uint64_t hash) {
    for (size_t at = hash & (size - 1);; at = (at + 1) & (size - 1)) {
        if (table[at] == hash) return 0;
        if (table[at]) continue;
        table[at] = hash;
        return 1;
    }
}

/* True the first time an identity is met. Identities are kept as 64-bit FNV-1a hashes. */
static int is_new(const char *from, const char *end) {
    uint64_t hash = 14695981039346656037u;
    for (; from < end && !strchr("\"&,}> \r\n", *from); from++)
        hash = (hash ^ (unsigned char)*from) * 1099511628211u;
    if (!hash) hash = 1;
    if (counts.distinct * 2 >= seen_size) {
        uint64_t *larger = calloc(seen_size * 2, sizeof *larger);
        if (!larger) fail("calloc");
        for (size_t i = 0; i < seen_size; i++)
            if (seen[i]) place(larger, seen_size * 2, seen[i]);
        free(seen);
        seen = larger;
        seen_size *= 2;
    }
    return place(seen, seen_size, hash);
}

static void count(const char *request, const char *end) {
    uint64_t now = now_ns();
    if (!counts.requests++) counts.first_ns = now;
    counts.last_ns = now;
    const char *found = memmem(request, (size_t)(end - request), marker, strlen(marker));
    if (!found || !*marker) {
        counts.unmarked++;
    } else if (is_new(found + strlen(marker), end)) {
        counts.distinct++;
        counts.last_new_ns = now;
    }
}

static void drop(int fd) {
    close(fd);
    free(connections[fd]->output);
    free(connections[fd]);
    connections[fd] = NULL;
}

/* Hand bytes to the kernel and keep what it does not take. 0 when the line is broken. */
static int put(int poll, int fd, const char *bytes, size_t length) {
    struct connection *c = connections[fd];
    if (!c->waiting) {
        ssize_t done = send(fd, bytes, length, MSG_NOSIGNAL);
        if (done < 0 && errno != EAGAIN) return 0;
        if (done > 0) bytes += done, length -= (size_t)done;
        if (!length) return 1;
    }
    c->output = realloc(c->output, c->waiting + length);
    if (!c->output) fail("realloc");
    memcpy(c->output + c->waiting, bytes, length);
    c->waiting += length;
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.fd = fd};
    epoll_ctl(poll, EPOLL_CTL_MOD, fd, &event);
    return 1;
}

static int flush(int poll, int fd) {
    struct connection *c = connections[fd];
    ssize_t done = send(fd, c->output, c->waiting, MSG_NOSIGNAL);
    if (done < 0) return errno == EAGAIN;
    c->waiting -= (size_t)done;
    memmove(c->output, c->output + done, c->waiting);
    if (!c->waiting) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        epoll_ctl(poll, EPOLL_CTL_MOD, fd, &event);
    }
    return 1;
}

static int report(int poll, int fd) {
    char body[512], reply[768];
    int length = snprintf(
        body, sizeof body,
        "{\"requests\":%llu,\"distinct\":%llu,\"unmarked\":%llu,\"first_ns\":%llu,"
        "\"last_ns\":%llu,\"last_new_ns\":%llu}",
        (unsigned long long)counts.requests, (unsigned long long)counts.distinct,
        (unsigned long long)counts.unmarked, (unsigned long long)counts.first_ns,
        (unsigned long long)counts.last_ns, (unsigned long long)counts.last_new_ns);
    length = snprintf(
        reply, sizeof reply,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
        length, body);
    return put(poll, fd, reply, (size_t)length);
}

static const char *header(const char *head, const char *end, const char *name) {
    size_t length = strlen(name);
    for (const char *at = head; at + length < end; at++)
        if (at[0] == '\n' && !strncasecmp(at + 1, name, length)) return at + 1 + length;
    return NULL;
}

/* Serve one whole request at the front of the buffer: its length, 0 when more must come, -1 to
 * give the connection up. */
static ssize_t serve(int poll, int fd, const char *request, size_t have) {
    const char *blank = memmem(request, have, "\r\n\r\n", 4);
    if (!blank) return have == BUFFER ? -1 : 0;
    if (header(request, blank, "transfer-encoding:")) {
        const char *no = "HTTP/1.1 501 Not Implemented\r\nContent-Length: 0\r\n\r\n";
        put(poll, fd, no, strlen(no));
        return -1;
    }
    const char *stated = header(request, blank, "content-length:");
    size_t length = (size_t)(blank + 4 - request) + (stated ? strtoul(stated, NULL, 10) : 0);
    if (length > BUFFER) return -1;
    if (have < length) return 0;
    if (!strncmp(request, "GET /__count ", 13)) return report(poll, fd) ? (ssize_t)length : -1;
    if (!strncmp(request, "POST /__reset ", 14)) {
        forget();
        return report(poll, fd) ? (ssize_t)length : -1;
    }
    count(request, request + length);
    return put(poll, fd, answer, answer_length) ? (ssize_t)length : -1;
}

static int take(int poll, int fd) {
    struct connection *c = connections[fd];
    ssize_t got = recv(fd, c->input + c->have, BUFFER - c->have, 0);
    if (got <= 0) return got < 0 && errno == EAGAIN;
    c->have += (size_t)got;
    size_t served = 0;
    while (served < c->have) {
        ssize_t length = serve(poll, fd, c->input + served, c->have - served);
        if (length < 0) return 0;
        if (!length) break;
        served += (size_t)length;
    }
    c->have -= served;
    memmove(c->input, c->input + served, c->have);
    return 1;
}

static void welcome(int poll, int listener) {
    int fd, on = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        if (fd >= MAX_FD) {
            close(fd);
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        connections[fd] = malloc(sizeof *connections[fd]);
        if (!connections[fd]) fail("malloc");
        connections[fd]->have = connections[fd]->waiting = 0;
        connections[fd]->output = NULL;
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        if (epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event)) fail("epoll_ctl");
    }
}

static int listen_on(int port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&here, sizeof here)) fail("bind");
    if (listen(fd, 4096)) fail("listen");
    socklen_t size = sizeof here;
    getsockname(fd, (struct sockaddr *)&here, &size);
    printf("{\"port\": %d}\n", ntohs(here.sin_port));
    fflush(stdout);
    return fd;
}

int main(int argc, char **argv) {
    const char *text = "ok", *type = "text/plain";
    int port = 0, seconds = 3600;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--marker")) marker = argv[i + 1];
        else if (!strcmp(argv[i], "--answer")) text = argv[i + 1];
        else if (!strcmp(argv[i], "--type")) type = argv[i + 1];
        else if (!strcmp(argv[i], "--port")) port = atoi(argv[i + 1]);
        else if (!strcmp(argv[i], "--seconds")) seconds = atoi(argv[i + 1]);
        else return fprintf(stderr, "unknown option %s\n", argv[i]), 2;
    }
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    alarm((unsigned)seconds);
    answer_length = (size_t)snprintf(
        answer, sizeof answer, "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n%s",
        type, strlen(text), text);
    if (answer_length >= sizeof answer) return fprintf(stderr, "answer too long\n"), 2;
    forget();
    int listener = listen_on(port), poll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, ready[EVENTS];
    epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int n = epoll_wait(poll, ready, EVENTS, -1);
        if (n < 0 && errno != EINTR) fail("epoll_wait");
        for (int i = 0; i < n; i++) {
            int fd = ready[i].data.fd, alive = 1;
            if (fd == listener) {
                welcome(poll, listener);
                continue;
            }
            if (ready[i].events & EPOLLOUT) alive = flush(poll, fd);
            if (alive && ready[i].events & ~(uint32_t)EPOLLOUT) alive = take(poll, fd);
            if (!alive) drop(fd);
        }
    }
}
