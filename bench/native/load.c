/* A bounded, closed-loop HTTP/1.1 load generator: N kept-alive connections, each with one request
 * on its way, until M messages are answered or the time is up.
 *
 *   load --port N --template FILE --messages M [--connections 200] [--first 0] [--seconds 300]
 *
 * The template is a raw request (head, empty line, body) without Content-Length. In it {number}
 * becomes the digits of a German mobile number that no other message of the run has, and {id} an id
 * like m00000042. Both have a fixed width, so a request is a copy and a few bytes.
 * Opens its connections, prints "ready", waits for a line on standard input, and begins; at the end
 * it prints one JSON object. Latencies are those of 2xx answers, in microseconds, request written
 * to answer read. Only 127.0.0.1 is ever dialled.
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
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BUFFER = 32 * 1024, SPOTS = 32, EVENTS = 256, MAX_CONNECTIONS = 10000 };
static const char NUMBER[] = "49151%08u", ID[] = "m%08u"; /* 13 and 9 characters */

struct connection {
    int fd, busy;
    char *request;
    size_t sent, have;
    size_t wanted; /* length of the whole answer, 0 while unknown */
    int chunked;
    uint64_t begun_ns;
    char input[BUFFER + 1];
};

static char *prototype;
static size_t request_length, spots;
static struct { size_t at; const char *format; } spot[SPOTS];
static struct sockaddr_in server;
static int poll_fd;
static unsigned first, messages, started, ended, accepted, broken, reopened;
static unsigned statuses[1000];
static uint32_t *latency_us;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Write the placeholders' final width into `out`, remembering where they are. */
static size_t expand(const char *from, size_t length, char *out, size_t at) {
    char sample[32];
    for (size_t i = 0; i < length;) {
        const char *format = !strncmp(from + i, "{number}", 8) ? NUMBER
                             : !strncmp(from + i, "{id}", 4)   ? ID
                                                               : NULL;
        if (!format) {
            out[at++] = from[i++];
            continue;
        }
        if (spots == SPOTS) fail("too many placeholders");
        spot[spots].at = at;
        spot[spots++].format = format;
        size_t width = (size_t)snprintf(sample, sizeof sample, format, 0u);
        memcpy(out + at, sample, width);
        at += width;
        i += format == NUMBER ? 8 : 4;
    }
    return at;
}

static void read_template(const char *path) {
    static char text[BUFFER / 2], body[BUFFER];
    FILE *file = fopen(path, "rb");
    if (!file) fail(path);
    size_t length = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    char *blank = strstr(text, "\r\n\r\n");
    if (!blank) {
        fprintf(stderr, "%s: no empty line after the head\n", path);
        exit(2);
    }
    size_t head = (size_t)(blank + 2 - text);
    prototype = malloc(2 * BUFFER);
    if (!prototype) fail("malloc");
    size_t at = expand(text, head, prototype, 0), head_spots = spots;
    size_t body_length = expand(blank + 4, length - head - 2, body, 0);
    at += (size_t)sprintf(prototype + at, body_length ? "Content-Length: %zu\r\n\r\n" : "\r\n",
                          body_length);
    for (size_t i = head_spots; i < spots; i++) spot[i].at += at;
    memcpy(prototype + at, body, body_length);
    request_length = at + body_length;
}

static void watch(struct connection *c, int how, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = c};
    if (epoll_ctl(poll_fd, how, c->fd, &event)) fail("epoll_ctl");
}

static void dial(struct connection *c) {
    int on = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0) fail("socket");
    if (connect(c->fd, (struct sockaddr *)&server, sizeof server)) fail("connect");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    watch(c, EPOLL_CTL_ADD, EPOLLIN);
}

/* Write what is left of the request. 0 when the line is broken. */
static int push(struct connection *c) {
    ssize_t done =
        send(c->fd, c->request + c->sent, request_length - c->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (done < 0 && errno != EAGAIN) return 0;
    int was_short = c->sent > 0;
    if (done > 0) c->sent += (size_t)done;
    if (c->sent < request_length) watch(c, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
    else if (was_short) watch(c, EPOLL_CTL_MOD, EPOLLIN);
    return 1;
}

static void redial(struct connection *c);

static void next(struct connection *c) {
    char text[32];
    c->busy = 0;
    if (started == messages) return;
    for (size_t i = 0; i < spots; i++) {
        int width = snprintf(text, sizeof text, spot[i].format, first + started);
        memcpy(c->request + spot[i].at, text, (size_t)width);
    }
    started++;
    c->busy = 1;
    c->sent = c->have = c->wanted = 0;
    c->chunked = 0;
    c->begun_ns = now_ns();
    if (!push(c)) redial(c);
}

/* The line broke. An unanswered request is counted and never repeated: it may have been taken. */
static void redial(struct connection *c) {
    if (c->busy) broken++, ended++;
    reopened++;
    close(c->fd);
    dial(c);
    next(c);
}

static const char *header(const char *head, const char *end, const char *name) {
    size_t length = strlen(name);
    for (const char *at = head; at + length < end; at++)
        if (at[0] == '\n' && !strncasecmp(at + 1, name, length)) return at + 1 + length;
    return NULL;
}

/* True when the whole answer is in the buffer. */
static int complete(struct connection *c) {
    if (!c->wanted && !c->chunked) {
        const char *blank = memmem(c->input, c->have, "\r\n\r\n", 4);
        if (!blank) return 0;
        const char *stated = header(c->input, blank, "content-length:");
        c->chunked = header(c->input, blank, "transfer-encoding:") != NULL;
        c->wanted = (size_t)(blank + 4 - c->input) + (stated ? strtoul(stated, NULL, 10) : 0);
    }
    if (!c->chunked) return c->have >= c->wanted;
    return c->have >= 5 && !memcmp(c->input + c->have - 5, "0\r\n\r\n", 5);
}

static void answered(struct connection *c) {
    unsigned status = (unsigned)strtoul(c->input + 9, NULL, 10) % 1000;
    statuses[status]++;
    if (status / 100 == 2) latency_us[accepted++] = (uint32_t)((now_ns() - c->begun_ns) / 1000);
    ended++;
    const char *blank = memmem(c->input, c->have, "\r\n\r\n", 4);
    const char *fate = header(c->input, blank, "connection:");
    c->busy = 0;
    if (fate && !strncasecmp(fate + strspn(fate, " "), "close", 5)) redial(c);
    else next(c);
}

static void take(struct connection *c) {
    ssize_t got = recv(c->fd, c->input + c->have, BUFFER - c->have, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) {
        redial(c);
        return;
    }
    c->have += (size_t)got;
    if (c->busy && complete(c)) answered(c);
}

static int smaller(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Nearest rank: the smallest latency that `share` of all answers do not exceed. */
static unsigned percentile(unsigned share) {
    if (!accepted) return 0;
    uint64_t rank = ((uint64_t)accepted * share + 99) / 100;
    return latency_us[rank ? rank - 1 : 0];
}

static void print_result(uint64_t begin_ns, uint64_t end_ns) {
    struct rusage own;
    getrusage(RUSAGE_SELF, &own);
    qsort(latency_us, accepted, sizeof *latency_us, smaller);
    printf("{\"sent\": %u, \"accepted\": %u, \"broken\": %u, \"unanswered\": %u, \"reopened\": %u, ",
           started, accepted, broken, started - ended, reopened);
    printf("\"statuses\": {");
    const char *comma = "";
    for (int i = 0; i < 1000; i++) {
        if (!statuses[i]) continue;
        printf("%s\"%d\": %u", comma, i, statuses[i]);
        comma = ", ";
    }
    printf("}, \"started_ns\": %llu, \"elapsed_seconds\": %.6f, ", (unsigned long long)begin_ns,
           (double)(end_ns - begin_ns) / 1e9);
    printf("\"latency_us\": {\"p50\": %u, \"p90\": %u, \"p99\": %u, \"max\": %u}, ",
           percentile(50), percentile(90), percentile(99), percentile(100));
    printf("\"cpu_seconds\": %.6f}\n",
           (double)(own.ru_utime.tv_sec + own.ru_stime.tv_sec) +
               (double)(own.ru_utime.tv_usec + own.ru_stime.tv_usec) / 1e6);
}

int main(int argc, char **argv) {
    const char *path = NULL;
    unsigned port = 0, count = 200, seconds = 300;
    for (int i = 1; i + 1 < argc; i += 2) {
        unsigned value = (unsigned)strtoul(argv[i + 1], NULL, 10);
        if (!strcmp(argv[i], "--template")) path = argv[i + 1];
        else if (!strcmp(argv[i], "--port")) port = value;
        else if (!strcmp(argv[i], "--connections")) count = value;
        else if (!strcmp(argv[i], "--messages")) messages = value;
        else if (!strcmp(argv[i], "--first")) first = value;
        else if (!strcmp(argv[i], "--seconds")) seconds = value;
        else return fprintf(stderr, "unknown option %s\n", argv[i]), 2;
    }
    if (!path || !port || !messages || !count || count > MAX_CONNECTIONS ||
        (uint64_t)first + messages > 100000000u)
        return fprintf(stderr, "wants --port, --template, --messages (below 10^8 numbers)\n"), 2;
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    alarm(seconds + 60); /* also a start that never comes, or a dial that hangs, has an end */
    read_template(path);
    latency_us = calloc(messages, sizeof *latency_us);
    struct connection *all = calloc(count, sizeof *all);
    if (!latency_us || !all) fail("calloc");
    server.sin_family = AF_INET;
    server.sin_port = htons((uint16_t)port);
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    poll_fd = epoll_create1(EPOLL_CLOEXEC);
    for (unsigned i = 0; i < count; i++) {
        all[i].request = malloc(request_length);
        if (!all[i].request) fail("malloc");
        memcpy(all[i].request, prototype, request_length);
        dial(&all[i]);
    }
    printf("ready\n");
    fflush(stdout);
    if (getchar() == EOF) return 1;
    uint64_t begin = now_ns(), limit = begin + seconds * 1000000000ull;
    for (unsigned i = 0; i < count; i++) next(&all[i]);
    struct epoll_event ready[EVENTS];
    while (ended < messages && now_ns() < limit) {
        int n = epoll_wait(poll_fd, ready, EVENTS, 100);
        if (n < 0 && errno != EINTR) fail("epoll_wait");
        for (int i = 0; i < n; i++) {
            struct connection *c = ready[i].data.ptr;
            if (ready[i].events & EPOLLOUT && c->busy && c->sent < request_length && !push(c))
                redial(c);
            else if (ready[i].events & ~(uint32_t)EPOLLOUT)
                take(c);
        }
    }
    print_result(begin, now_ns());
    return 0;
}
