/* The load that wrk cannot make: at a steady rate, over WebSockets, and connections that say nothing.

   load ask PORT SECONDS CONNECTIONS RATE REQUEST...     HTTP/1.1, kept alive; connection i sends REQUEST number i, in turn
   load talk PORT SECONDS CONNECTIONS RATE HOST          WebSocket messages of 65 bytes that come back
   load hold PORT CONNECTIONS REQUEST                    one request a connection, then silence until standard input ends
   load echo PORT                                        the WebSocket server that sends messages back, until then too

   RATE: requests a second, all connections together; 0: each sends its next one when its answer is there. At a rate, each
   request has a moment at which it is due, whether a connection is free then or not, and its time counts from there: a
   proxy that stops for a second is charged for all who would have come meanwhile. `late` says how late this program
   itself was while a connection was free: where that is not small, its machine was the bottleneck and not the proxy.

   Prints one JSON object; times in microseconds. Answers must be 200 with a Content-Length. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
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

enum { MESSAGE = 65, ROOM = 256 * 1024, EVENTS = 256, LONGEST = 4 * 1000 * 1000 };

/* The sample key of RFC 6455, section 1.3. */
#define KEY "dGhlIHNhbXBsZSBub25jZQ=="

static void die(const char *format, ...) {
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

static int64_t now(void) { /* nanoseconds */
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* How many took so many microseconds; the last one is for all that took longer. */
typedef struct { uint32_t counts[LONGEST + 1]; int64_t total; } Times;

static void took(Times *times, int64_t ns) {
    int64_t us = ns < 0 ? 0 : ns / 1000;
    times->counts[us < LONGEST ? us : LONGEST]++;
    times->total++;
}

static int64_t percentile(const Times *times, double share) {
    int64_t wanted = (int64_t)(times->total * share), seen = 0;
    for (int64_t us = 0; us <= LONGEST; us++)
        if ((seen += times->counts[us]) > wanted) return us;
    return 0;
}

static Times answers, lateness;

typedef struct {
    int fd;
    const char *request;
    size_t length;
    int64_t due;      /* when the present request had to be sent */
    int open;         /* the WebSocket handshake is over, or there is none */
    int busy;
    char head[8192];  /* of the answer, as far as it is here */
    size_t held;
    int64_t left;     /* of its body */
} Connection;

static int talking;
static char frame[MESSAGE + 6];

static void connect_to(Connection *c, int port) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1;
    if ((c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) < 0) die("no socket: %s", strerror(errno));
    if (connect(c->fd, (struct sockaddr *)&to, sizeof to)) die("cannot connect to port %d: %s", port, strerror(errno));
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    c->open = !talking;
}

static void put(int fd, const char *data, size_t size) {
    ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);
    if (sent != (ssize_t)size) die("cannot send %zu bytes: %s", size, sent < 0 ? strerror(errno) : "no room");
}

static void ask(Connection *c, int64_t due) {
    c->due = due;
    c->busy = 1;
    c->held = 0;
    c->left = -1;
    if (talking && c->open) {
        put(c->fd, frame, sizeof frame);
        c->left = MESSAGE + 2;
    } else {
        put(c->fd, c->request, c->length);
    }
}

/* The head of an answer is whole: how much body is to come after it. */
static int64_t judge(Connection *c, const char *end) {
    const char *wanted = talking ? "101" : "200";
    if (c->held < 12 || memcmp(c->head + 9, wanted, 3)) die("not a %s: %.*s", wanted, (int)(end - c->head), c->head);
    if (talking) return 0;
    char *field = strcasestr(c->head, "\r\ncontent-length:");
    if (!field || field > end) die("no Content-Length: %.*s", (int)(end - c->head), c->head);
    return strtoll(field + 17, NULL, 10);
}

/* Take what has come; whether the answer is complete. */
static int take(Connection *c) {
    static char data[ROOM];
    for (;;) {
        ssize_t got = recv(c->fd, data, sizeof data, 0);
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
        if (got <= 0) die("the connection ended: %s", got ? strerror(errno) : "closed by the proxy");
        if (!c->busy) die("bytes that nobody asked for");
        if (c->left < 0) {
            size_t room = sizeof c->head - 1 - c->held, part = (size_t)got < room ? (size_t)got : room;
            size_t before = c->held;
            memcpy(c->head + before, data, part);
            c->head[c->held += part] = 0;
            char *end = strstr(c->head, "\r\n\r\n");
            if (!end) {
                if (c->held == sizeof c->head - 1) die("a head without an end");
                continue;
            }
            c->left = judge(c, end) - (got - (int64_t)(end + 4 - c->head - before));
        } else {
            c->left -= got;
        }
        if (c->left < 0) die("more than the answer");
        if (!c->left) return 1;
        if (got < (ssize_t)sizeof data) return 0;
    }
}

static Connection *connections_of(int count, int port, char **requests, int kinds) {
    Connection *all = calloc(count, sizeof *all);
    if (!all) die("no memory");
    for (int i = 0; i < count; i++) {
        all[i].request = requests[i % kinds];
        all[i].length = strlen(all[i].request);
        connect_to(&all[i], port);
    }
    return all;
}

static void run(int port, double seconds, int count, double rate, char **requests, int kinds) {
    Connection *all = connections_of(count, port, requests, kinds);
    Connection **free_ones = calloc(count, sizeof *free_ones);
    int frees = 0, first = 0, poll = epoll_create1(EPOLL_CLOEXEC), busy = count;
    prctl(PR_SET_TIMERSLACK, 1);
    for (int i = 0; i < count; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &all[i]};
        epoll_ctl(poll, EPOLL_CTL_ADD, all[i].fd, &event);
        ask(&all[i], now());
    }
    /* The first answer of each connection opens it, and is not counted. */
    int64_t began = 0, end = 0, last = 0, sent = 0, done = 0;
    for (;;) {
        int64_t t = now();
        if (began && rate > 0 && t < end)
            while (frees) {
                int64_t due = began + (int64_t)(sent * 1e9 / rate);
                if (due > t || due >= end) break;
                Connection *c = free_ones[first];
                first = (first + 1) % count;
                if (frees == count || due > last) took(&lateness, t - due);
                frees--;
                busy++;
                sent++;
                ask(c, due);
            }
        if (began && t >= end && !busy) break;
        if (began && t > end + 5000000000LL) die("%d answers have not come 5 s after the end", busy);
        int64_t wake = began ? end + 5000000000LL : t + 5000000000LL;
        if (began && rate > 0 && frees && t < end) {
            wake = began + (int64_t)(sent * 1e9 / rate);
            if (wake > end) wake = end;
        }
        int64_t wait = wake > t ? wake - t : 0;
        struct timespec timeout = {wait / 1000000000LL, wait % 1000000000LL};
        struct epoll_event events[EVENTS];
        int got = epoll_pwait2(poll, events, EVENTS, &timeout, NULL);
        if (got < 0 && errno != EINTR) die("epoll: %s", strerror(errno));
        if (!began && !got) die("no answer for 5 s");
        for (int i = 0; i < got; i++) {
            Connection *c = events[i].data.ptr;
            if (!take(c)) continue;
            t = now();
            c->busy = 0;
            busy--;
            if (began) {
                took(&answers, t - c->due);
                done += t <= end;
                last = t;
            }
            c->open = 1;
            if (began && rate == 0 && t < end) {
                busy++;
                ask(c, t);
            } else {
                free_ones[(first + frees++) % count] = c;
            }
        }
        if (!began && !busy) {
            began = now();
            end = began + (int64_t)(seconds * 1e9);
            if (rate == 0) {
                frees = 0;
                busy = count;
                for (int i = 0; i < count; i++) ask(&all[i], now());
            }
        }
    }
    int64_t owed = rate > 0 ? (int64_t)(seconds * rate) - sent : 0;
    printf("{\"requests\": %ld, \"seconds\": %.6f, \"owed\": %ld, \"p50\": %ld, \"p99\": %ld, \"p999\": %ld, \"late\": %ld}\n",
           (long)done, seconds, (long)(owed > 0 ? owed : 0), (long)percentile(&answers, 0.5),
           (long)percentile(&answers, 0.99), (long)percentile(&answers, 0.999), (long)percentile(&lateness, 0.99));
}

static void hold(int port, int count, char *request) {
    for (int done = 0; done < count; done += 100) {
        int some = count - done < 100 ? count - done : 100;
        Connection *all = connections_of(some, port, &request, 1);
        for (int i = 0; i < some; i++) ask(&all[i], 0);
        for (int i = 0; i < some; i++) {
            fcntl(all[i].fd, F_SETFL, 0);
            while (!take(&all[i])) continue;
        }
        free(all); /* and not the sockets */
    }
    printf("{\"connections\": %d}\n", count);
    fflush(stdout);
    while (getchar() != EOF) continue;
}

/* -- the server */

static uint32_t turned(uint32_t x, int bits) { return x << bits | x >> (32 - bits); }

/* SHA-1 (RFC 3174) of at most 119 bytes. */
static void sha1(const char *text, unsigned char out[20]) {
    uint32_t h[5] = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0}, w[80];
    unsigned char padded[128] = {0};
    size_t size = strlen(text), whole = size < 56 ? 64 : 128;
    memcpy(padded, text, size);
    padded[size] = 0x80;
    padded[whole - 2] = size * 8 >> 8;
    padded[whole - 1] = size * 8;
    for (unsigned char *block = padded; block < padded + whole; block += 64) {
        for (int i = 0; i < 16; i++) w[i] = (uint32_t)block[4 * i] << 24 | block[4 * i + 1] << 16 | block[4 * i + 2] << 8 | block[4 * i + 3];
        for (int i = 16; i < 80; i++) w[i] = turned(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
        uint32_t a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
        for (int i = 0; i < 80; i++) {
            uint32_t f = i < 20 ? (b & c) | (~b & d) : i < 40 ? b ^ c ^ d : i < 60 ? (b & c) | (b & d) | (c & d) : b ^ c ^ d;
            uint32_t k = i < 20 ? 0x5A827999 : i < 40 ? 0x6ED9EBA1 : i < 60 ? 0x8F1BBCDC : 0xCA62C1D6;
            uint32_t next = turned(a, 5) + f + e + k + w[i];
            e = d, d = c, c = turned(b, 30), b = a, a = next;
        }
        h[0] += a, h[1] += b, h[2] += c, h[3] += d, h[4] += e;
    }
    for (int i = 0; i < 20; i++) out[i] = h[i / 4] >> (24 - 8 * (i % 4));
}

/* What a server answers to a client's key (RFC 6455, section 4.2.2). */
static void accept_of(const char *key, char out[29]) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char text[64];
    unsigned char hash[21] = {0};
    snprintf(text, sizeof text, "%.24s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
    sha1(text, hash);
    for (int i = 0; i < 7; i++) {
        uint32_t three = hash[3 * i] << 16 | hash[3 * i + 1] << 8 | hash[3 * i + 2];
        for (int j = 0; j < 4; j++) out[4 * i + j] = digits[three >> (18 - 6 * j) & 63];
    }
    out[27] = '=';
    out[28] = 0;
}

typedef struct { int fd, open; size_t held; unsigned char data[ROOM]; } Peer;

/* Send back each whole frame that is here; how many bytes have been used. */
static size_t echo_frames(Peer *p) {
    size_t at = 0;
    for (;;) {
        unsigned char *f = p->data + at;
        size_t here = p->held - at, size, head = 6;
        if (here < 6) return at;
        size = f[1] & 0x7f;
        if (size == 127) die("a message that is too large");
        if (size == 126) size = f[2] << 8 | f[3], head = 8;
        if (here < head + size) return at;
        unsigned char *mask = f + head - 4, *out = f + 4;
        for (size_t i = 0; i < size; i++) f[head + i] ^= mask[i & 3];
        /* A server's frame has no mask: the head moves up to the content. */
        out[0] = f[0];
        if (head == 8) out[2] = f[2], out[3] = f[3];
        out[1] = head == 8 ? 126 : size;
        put(p->fd, (char *)out, head - 4 + size);
        at += head + size;
    }
}

static void serve(Peer *p) {
    ssize_t got = recv(p->fd, p->data + p->held, sizeof p->data - p->held - 1, 0);
    if (got <= 0) {
        close(p->fd);
        free(p);
        return;
    }
    p->held += got;
    size_t used = 0;
    if (!p->open) {
        p->data[p->held] = 0;
        char *end = strstr((char *)p->data, "\r\n\r\n");
        if (!end) return;
        /* Whoever only looks whether somebody is here gets an answer, too. */
        char *key = strcasestr((char *)p->data, "\r\nsec-websocket-key: "), answer[256], accepted[29];
        if (key) {
            accept_of(key + 21, accepted);
            snprintf(answer, sizeof answer, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                     "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", accepted);
        } else {
            strcpy(answer, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
        put(p->fd, answer, strlen(answer));
        p->open = key != NULL;
        used = (unsigned char *)end + 4 - p->data;
    } else {
        used = echo_frames(p);
    }
    p->held -= used;
    memmove(p->data, p->data + used, p->held);
}

static void echo(int port) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), poll = epoll_create1(EPOLL_CLOEXEC);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 1024)) die("port %d: %s", port, strerror(errno));
    struct epoll_event event = {.events = EPOLLIN};
    epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event);
    event.data.ptr = &one; /* standard input */
    epoll_ctl(poll, EPOLL_CTL_ADD, 0, &event);
    for (;;) {
        struct epoll_event events[EVENTS];
        int got = epoll_wait(poll, events, EVENTS, -1);
        for (int i = 0; i < got; i++) {
            if (events[i].data.ptr == &one) {
                if (getchar() == EOF) return;
            } else if (events[i].data.ptr) {
                serve(events[i].data.ptr);
            } else {
                Peer *p = calloc(1, sizeof *p);
                if (!p || (p->fd = accept(listener, NULL, NULL)) < 0) die("cannot accept: %s", strerror(errno));
                setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                event.data.ptr = p;
                epoll_ctl(poll, EPOLL_CTL_ADD, p->fd, &event);
            }
        }
    }
}

int main(int count, char **words) {
    struct rlimit files;
    signal(SIGPIPE, SIG_IGN);
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    const char *what = count > 1 ? words[1] : "";
    if (!strcmp(what, "ask") && count > 6) {
        run(atoi(words[2]), atof(words[3]), atoi(words[4]), atof(words[5]), words + 6, count - 6);
    } else if (!strcmp(what, "talk") && count == 7) {
        char request[512], *one = request;
        snprintf(request, sizeof request,
                 "GET /echo HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                 "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " KEY "\r\n\r\n", words[6]);
        memcpy(frame, "\x82\xc1mask", 6); /* binary, masked, 65 bytes */
        memset(frame + 6, 'x', MESSAGE);
        talking = 1;
        run(atoi(words[2]), atof(words[3]), atoi(words[4]), atof(words[5]), &one, 1);
    } else if (!strcmp(what, "hold") && count == 5) {
        hold(atoi(words[2]), atoi(words[3]), words[4]);
    } else if (!strcmp(what, "echo") && count == 3) {
        echo(atoi(words[2]));
    } else {
        die("load ask|talk|hold|echo ...: see load.c");
    }
    return 0;
}
