/* A model server whose latency is known: a thread per connection, lognormal service times, stalls on a plan.
 *
 *   target PORT P50_MS P99_MS STALL_MS EVERY_MS SEED      (PORT 0: any; the port is printed; ends with stdin)
 *
 * A request arrives when the kernel queued its last bytes (SO_TIMESTAMPNS), not when this process woke up. It is
 * answered at arrival + drawn service time, or at the end of a stall: [(k + 1/2) * EVERY, (k + 1/2) * EVERY + STALL)
 * after the start, in which nobody is answered. Truth is arrival to answer, in microseconds.
 *
 *   POST anything   a V2 answer          GET /stats   {"latencies_us": [...], "drawn_us": [...]}
 *   GET /reset      forget both
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define KEPT (1 << 21)
#define ROOM (1 << 16)
#define SECOND 1000000000LL
#define Z99 2.3263478740408408

static const char ANSWER[] =
    "{\"model_name\":\"known\",\"outputs\":[{\"name\":\"score\",\"datatype\":\"FP64\",\"shape\":[1],\"data\":[0.5]}]}";
static int64_t latencies[KEPT], drawn[KEPT];
static atomic_long kept, connections;
static double mu, sigma;
static int64_t stall, every, began, seed;

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return t.tv_sec * SECOND + t.tv_nsec;
}

static void sleep_until(int64_t instant) {
    struct timespec t = {instant / SECOND, instant % SECOND};
    while (clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &t, NULL) != 0) {
    }
}

static uint64_t next(uint64_t *state) { /* splitmix64, Steele, Lea and Flood 2014 */
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static int64_t draw(uint64_t *state) { /* nanoseconds; the normal deviate is Box and Muller's */
    double u = (next(state) >> 11) * 0x1p-53, v = (next(state) >> 11) * 0x1p-53;
    return (int64_t)(1e6 * exp(mu + sigma * sqrt(-2 * log(1 - u)) * cos(2 * M_PI * v)));
}

static ssize_t receive(int s, char *to, size_t room, int64_t *arrived) {
    char control[256];
    struct iovec piece = {to, room};
    struct msghdr m = {.msg_iov = &piece, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t got = recvmsg(s, &m, 0);
    *arrived = now();
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); got > 0 && c; c = CMSG_NXTHDR(&m, c))
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
            struct timespec t;
            memcpy(&t, CMSG_DATA(c), sizeof t);
            *arrived = t.tv_sec * SECOND + t.tv_nsec;
        }
    return got;
}

/* Length of the whole request, 0 while its head is not complete, -1 when it is too long. */
static ssize_t whole(char *text, size_t length) {
    text[length] = 0;
    char *end = strstr(text, "\r\n\r\n");
    if (!end) return length < ROOM ? 0 : -1;
    char *field = strcasestr(text, "\r\ncontent-length:");
    size_t all = end + 4 - text + (field && field < end ? strtoul(field + 17, NULL, 10) : 0);
    return all <= ROOM ? (ssize_t)all : -1;
}

static void say(int s, const char *body, size_t length) {
    char head[160];
    int n = snprintf(head, sizeof head,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n", length);
    struct iovec both[] = {{head, n}, {(void *)body, length}};
    struct msghdr m = {.msg_iov = both, .msg_iovlen = 2};
    ssize_t sent = sendmsg(s, &m, MSG_NOSIGNAL);
    for (ssize_t left; sent >= n && (left = n + length - sent) > 0;) {
        ssize_t more = send(s, body + length - left, left, MSG_NOSIGNAL);
        if (more <= 0) break;
        sent += more;
    }
}

static void stats(int s) {
    long count = kept < KEPT ? kept : KEPT;
    char *text = malloc(64 + 2 * 24 * (size_t)(count + 1)), *at = text;
    for (int row = 0; row < 2; row++) {
        at += sprintf(at, row ? "],\"drawn_us\":[" : "{\"latencies_us\":[");
        for (long i = 0; i < count; i++)
            at += sprintf(at, i ? ",%ld" : "%ld", (long)((row ? drawn : latencies)[i] / 1000));
    }
    at += sprintf(at, "]}");
    say(s, text, at - text);
    free(text);
}

static void serve(int s, int64_t arrived, uint64_t *state) {
    int64_t service = draw(state), until = arrived + service, into = every ? (until - began + every / 2) % every : 0;
    if (every && into < stall && until - began >= every / 2) until += stall - into;
    sleep_until(until);
    int64_t answered = now();
    long slot = atomic_fetch_add(&kept, 1);
    if (slot < KEPT) {
        latencies[slot] = answered - arrived;
        drawn[slot] = service;
    }
    say(s, ANSWER, sizeof ANSWER - 1);
}

static void *connection(void *given) {
    int s = (int)(intptr_t)given, one = 1;
    uint64_t state = (uint64_t)seed * 1000003u + (uint64_t)atomic_fetch_add(&connections, 1);
    char *text = malloc(ROOM + 1);
    size_t length = 0;
    int64_t arrived = 0;
    prctl(PR_SET_TIMERSLACK, 1);
    setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(s, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof one);
    for (;;) {
        ssize_t all;
        while ((all = whole(text, length)) == 0 || (size_t)all > length) {
            ssize_t got = all < 0 ? 0 : receive(s, text + length, ROOM - length, &arrived);
            if (got <= 0) goto over;
            length += got;
        }
        if (!strncmp(text, "GET /stats ", 11)) stats(s);
        else if (!strncmp(text, "GET /reset ", 11)) { kept = 0; say(s, "{}", 2); }
        else serve(s, arrived, &state);
        memmove(text, text + all, length -= all);
    }
over:
    free(text);
    close(s);
    return NULL;
}

static void *end_with_stdin(void *unused) {
    char byte;
    while (read(0, &byte, 1) > 0) {
    }
    exit(unused != NULL);
}

int main(int count, char **word) {
    if (count != 7) return 2;
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(atoi(word[1])), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof here;
    int one = 1, s = socket(AF_INET, SOCK_STREAM, 0);
    pthread_t thread;
    pthread_attr_t small;
    mu = log(atof(word[2]));
    sigma = (log(atof(word[3])) - mu) / Z99;
    stall = (int64_t)(1e6 * atof(word[4]));
    every = stall ? (int64_t)(1e6 * atof(word[5])) : 0;
    seed = atoll(word[6]);
    began = now();
    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(s, (struct sockaddr *)&here, size) || listen(s, 1024) || getsockname(s, (struct sockaddr *)&here, &size)) return 1;
    printf("%d\n", ntohs(here.sin_port));
    fflush(stdout);
    pthread_attr_init(&small);
    pthread_attr_setdetachstate(&small, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&small, 256 * 1024);
    pthread_create(&thread, &small, end_with_stdin, NULL);
    for (int c; (c = accept(s, NULL, NULL)) >= 0;)
        if (pthread_create(&thread, &small, connection, (void *)(intptr_t)c)) close(c);
    return 1;
}
