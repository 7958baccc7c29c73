/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/wrap.h"
#include "net/listener.h"
#include "test/sim/sim.h"

/*
 * The network: net/frame.h, net/listener.h and what daemons use of net/stream.h, in memory. Each
 * direction of a connection (a lane) keeps its order; how long a frame takes is drawn for each, so
 * that connections overtake each other. A connection that breaks loses what was on its way from
 * some frame on.
 */

typedef struct Lane Lane;
typedef struct Wire Wire;

typedef enum PacketKind {
    PACKET_FRAME,
    PACKET_OPEN,  /* reaches the listener */
    PACKET_CLOSE, /* `r` is what the reader hears */
} PacketKind;

typedef struct Packet {
    List link;
    PacketKind kind;
    FrameHeader header;
    Buf body;
    int fds[5];
    size_t fds_len;
    int r;
    usec_t at, sent;
    bool flushed;
} Packet;

struct Lane {
    Wire *wire;
    int to; /* which end reads it */
    List packets;
    LoopTimer *timer;
    usec_t last, stalled;
    size_t bytes;
};

struct FrameConn { /* one end */
    Wire *wire;
    int side;
    const FrameEvents *events;
    void *ctx;
    const Listener *listener; /* that accepted it */
    bool paused, over;        /* over: nothing comes any more */
    pid_t pid;                /* of the other side */
    size_t hard;
    LoopTimer *deadline;
};

struct Stream {
    FrameConn conn;
};

struct Wire {
    List link;
    FrameConn *end[2]; /* 0 dialled; NULL once let go */
    Lane lane[2];      /* lane[i] leads to end[i] */
    char to[NET_ADDRESS_TEXT_MAX];
    pid_t pid;         /* who dialled, on unix sockets */
    bool opened;
    int busy;
};

struct Listener {
    List link;
    NetAddress address;
    char text[NET_ADDRESS_TEXT_MAX];
    ListenerFn *fn;
    void *ctx;
};

struct Net {
    List wires, listeners;
    size_t wires_len;
    uint16_t last_port;
};

/* ---- lanes ---------------------------------------------------------------------------------- */

static void packet_free(Packet *packet) {
    list_remove(&packet->link);
    for (size_t i = 0; i < packet->fds_len; i++)
        fd_close(packet->fds[i]);
    buf_done(&packet->body);
    free(packet);
}

static void lane_clear(Lane *lane) {
    LIST_EACH_SAFE(item, &lane->packets)
        packet_free(LIST_ITEM(item, Packet, link));
    lane->bytes = 0;
}

static void wire_free(Wire *wire) {
    list_remove(&wire->link);
    sim->net->wires_len--;
    for (int i = 0; i < 2; i++) {
        lane_clear(&wire->lane[i]);
        loop_timer_free(wire->lane[i].timer);
    }
    free(wire);
}

static bool wire_unused(const Wire *wire) {
    return !wire->end[0] && !wire->end[1] && !wire->busy;
}

static void lane_arm(Lane *lane) {
    const FrameConn *end = lane->wire->end[lane->to];
    if (list_empty(&lane->packets) || (end && end->paused)) {
        loop_timer_stop(lane->timer);
        return;
    }
    const Packet *head = LIST_ITEM(lane->packets.next, Packet, link);
    loop_timer_at(lane->timer, MAX(head->at, lane->stalled));
}

static usec_t delay(void) {
    if (chance(3))
        return 0; /* with what went before it */
    if (chance(300))
        return rnd(2000) * USEC_PER_MSEC;
    return chance(20) ? rnd(20000) : rnd(300);
}

static Packet *lane_add(Lane *lane, PacketKind kind) {
    Packet *packet = mem_new(Packet);
    packet->kind = kind;
    packet->sent = loop_now(sim->loop);
    packet->at = lane->last = MAX(lane->last, packet->sent + delay());
    list_push(&lane->packets, &packet->link);
    lane_arm(lane);
    return packet;
}

/* What is behind some packet is lost; `unsent_only`: only what has not left yet may be. */
static void lane_lose(Lane *lane, bool unsent_only) {
    size_t len = 0, keep = 0;
    usec_t now = loop_now(sim->loop);
    LIST_EACH(item, &lane->packets)
        len++;
    keep = rnd((uint32_t)len + 1);
    len = 0;
    LIST_EACH_SAFE(item, &lane->packets) {
        Packet *packet = LIST_ITEM(item, Packet, link);
        bool unsent = packet->sent == now && !packet->flushed;
        if (packet->kind != PACKET_OPEN && len++ >= keep && (unsent || !unsent_only))
            packet_free(packet);
    }
}

static void end_closed(FrameConn *end, int r) {
    if (end->over)
        return;
    end->over = true;
    if (r < 0)
        error_origin(r, "the connection broke");
    if (end->events)
        end->events->closed(end->ctx, end, r);
}

static void end_free(FrameConn *end) {
    end->wire->end[end->side] = NULL;
    loop_timer_free(end->deadline);
    free(end);
}

static FrameConn *end_new(Wire *wire, int side) {
    Stream *stream = mem_new(Stream);
    FrameConn *end = &stream->conn;
    *end = (FrameConn){ .wire = wire, .side = side, .hard = (size_t)64 << 20 };
    wire->end[side] = end;
    return end;
}

static Listener *listener_at(const char *text) {
    LIST_EACH(item, &sim->net->listeners)
        if (str_eq(LIST_ITEM(item, Listener, link)->text, text))
            return LIST_ITEM(item, Listener, link);
    return NULL;
}

static void open_arrived(Wire *wire) {
    Listener *listener = listener_at(wire->to);
    wire->opened = true;
    if (!wire->end[0])
        return;
    bool refused = sim->faults.links && faulty() && !str_starts(wire->to, "unix:") && chance(6);
    if (!listener || refused) {
        lane_add(&wire->lane[0], PACKET_CLOSE)->r = -ECONNREFUSED;
        return;
    }
    FrameConn *end = end_new(wire, 1);
    end->listener = listener;
    end->pid = wire->pid;
    listener->fn(listener->ctx, (Stream *)end);
}

static void frame_arrived(FrameConn *end, Packet *packet) {
    if (sim->verbose)
        note("  %s %llx to %llx, stream %u", message_name(packet->header.type),
             (unsigned long long)packet->header.source,
             (unsigned long long)packet->header.destination, packet->header.stream);
    FrameIn in = { .header = packet->header,
                   .body = buf_slice(&packet->body),
                   .fds = packet->fds,
                   .fd_count = packet->fds_len };
    int r = frame_check(&in.header);
    if (r < 0)
        end_closed(end, r);
    else
        end->events->frame(end->ctx, end, &in);
}

static void packet_arrived(Lane *lane, Packet *packet) {
    FrameConn *end = lane->wire->end[lane->to];
    lane->bytes -= packet->body.len;
    list_remove(&packet->link);
    list_init(&packet->link);
    sim->events++;
    if (packet->kind != PACKET_FRAME)
        note("    a connection to %s is %s", lane->wire->to,
             packet->kind == PACKET_OPEN ? "opened" : "closed");
    if (packet->kind == PACKET_OPEN)
        open_arrived(lane->wire);
    else if (end && !end->over && packet->kind == PACKET_CLOSE)
        end_closed(end, packet->r);
    else if (end && !end->over)
        frame_arrived(end, packet);
    packet_free(packet);
}

static void lane_run(void *ctx) {
    Lane *lane = ctx;
    Wire *wire = lane->wire;
    usec_t now = loop_now(sim->loop);
    wire->busy++;
    while (!list_empty(&lane->packets) && lane->stalled <= now) {
        Packet *head = LIST_ITEM(lane->packets.next, Packet, link);
        const FrameConn *end = wire->end[lane->to];
        if (head->at > now || (end && end->paused))
            break;
        packet_arrived(lane, head);
    }
    wire->busy--;
    if (wire_unused(wire))
        wire_free(wire);
    else
        lane_arm(lane);
}

static Wire *wire_new(const char *to, pid_t pid) {
    Wire *wire = mem_new(Wire);
    for (int i = 0; i < 2; i++) {
        Lane *lane = &wire->lane[i];
        *lane = (Lane){ .wire = wire, .to = i };
        list_init(&lane->packets);
        lane->timer = loop_timer_new(sim->loop, lane_run, lane);
    }
    snprintf(wire->to, sizeof(wire->to), "%s", to);
    wire->pid = pid;
    list_push(&sim->net->wires, &wire->link);
    sim->net->wires_len++;
    end_new(wire, 0);
    lane_add(&wire->lane[1], PACKET_OPEN);
    return wire;
}

/* The end is let go; the other side hears of it behind what was sent. */
static void hang_up(FrameConn *end, int r) {
    Wire *wire = end->wire;
    Lane *out = &wire->lane[1 - end->side];
    lane_clear(&wire->lane[end->side]);
    if (!wire->end[1 - end->side] && wire->opened)
        lane_clear(out);
    else
        lane_add(out, PACKET_CLOSE)->r = r;
    end_free(end);
    if (wire_unused(wire) && wire->opened)
        wire_free(wire);
}

/* ---- net/frame.h ------------------------------------------------------------------------------- */

WRAPPED(FrameConn *, frame_conn_new, Stream *stream, const FrameEvents *events, void *ctx) {
    stream->conn.events = events;
    stream->conn.ctx = ctx;
    return &stream->conn;
}

WRAPPED(FrameConn *, frame_conn_free, FrameConn *conn) {
    if (conn) {
        lane_lose(&conn->wire->lane[1 - conn->side], true);
        hang_up(conn, 0);
    }
    return NULL;
}

WRAPPED(void, frame_conn_free_later, FrameConn *conn, usec_t linger) {
    if (conn)
        hang_up(conn, 0);
}

WRAPPED(void, frame_conn_set_ctx, FrameConn *conn, const FrameEvents *events, void *ctx) {
    conn->events = events;
    conn->ctx = ctx;
}

WRAPPED(void, frame_conn_pause, FrameConn *conn, bool paused) {
    conn->paused = paused;
    lane_arm(&conn->wire->lane[conn->side]);
}

WRAPPED(Stream *, frame_conn_stream, FrameConn *conn) {
    return (Stream *)conn;
}

/* Nobody reads: what waits is lost, both sides hear of it. */
static void choke(FrameConn *conn) {
    Wire *wire = conn->wire;
    for (int i = 0; i < 2; i++) {
        lane_lose(&wire->lane[i], false);
        lane_add(&wire->lane[i], PACKET_CLOSE)->r = i == conn->side ? -ENOBUFS : -ECONNRESET;
    }
    sim->did.cuts++;
}

static Packet *send_frame(FrameConn *conn, const FrameHeader *header, Slice body) {
    Lane *out = &conn->wire->lane[1 - conn->side];
    if (conn->over || (conn->wire->opened && !conn->wire->end[1 - conn->side]))
        return NULL;
    Packet *packet = lane_add(out, PACKET_FRAME);
    packet->header = *header;
    packet->header.length = (uint32_t)body.len;
    packet->header.flags &= (uint16_t)~FRAME_FDS;
    buf_add(&packet->body, body.data, body.len);
    out->bytes += body.len;
    if (out->bytes > conn->hard) {
        choke(conn);
        return NULL;
    }
    return packet;
}

WRAPPED(void, frame_send, FrameConn *conn, const FrameHeader *header, Slice body) {
    send_frame(conn, header, body);
}

WRAPPED(void, frame_send_packed, FrameConn *conn, NetBytes *frame) {
    FrameHeader header = frame_unpack(frame->data);
    send_frame(conn, &header,
               (Slice){ frame->data + FRAME_HEADER_SIZE, frame->len - FRAME_HEADER_SIZE });
}

/* The scripts share the store's memory, no rings. */
WRAPPED(int, frame_send_fds, FrameConn *conn, const FrameHeader *header, Slice body, const int *fds,
        size_t fd_count) {
    Packet *packet = send_frame(conn, header, body);
    if (packet)
        packet->header.flags |= FRAME_FDS;
    if (!packet || header->type != MSG_WELCOME)
        return 0;
    for (size_t i = 2; i < fd_count && packet->fds_len < ARRAY_LEN(packet->fds); i++)
        packet->fds[packet->fds_len++] = dup(fds[i]);
    return 0;
}

/* ---- net/stream.h ------------------------------------------------------------------------------ */

static int dial(const NetAddress *to, Stream **ret_stream) {
    char text[NET_ADDRESS_TEXT_MAX];
    net_address_format(to, text);
    *ret_stream = (Stream *)wire_new(text, 0)->end[0];
    return 0;
}

WRAPPED(int, stream_connect, Loop *loop, const NetAddress *to, usec_t timeout, StreamFn *fn,
        void *ctx, Stream **ret_stream) {
    return dial(to, ret_stream);
}

WRAPPED(int, stream_connect_host, Loop *loop, const char *host, uint16_t port, usec_t timeout,
        StreamFn *fn, void *ctx, Stream **ret_stream) {
    NetAddress address;
    int r = net_address_ip(host, port, &address);
    return r < 0 ? r : dial(&address, ret_stream);
}

WRAPPED(Stream *, stream_free, Stream *stream) {
    if (stream)
        hang_up(&stream->conn, 0);
    return NULL;
}

static void on_deadline(void *ctx) {
    end_closed(ctx, -ETIMEDOUT);
}

WRAPPED(void, stream_set_deadline, Stream *stream, usec_t deadline) {
    FrameConn *end = &stream->conn;
    if (!end->deadline)
        end->deadline = loop_timer_new(sim->loop, on_deadline, end);
    loop_timer_at(end->deadline, deadline);
}

/* For a process so small that one which stands still is noticed. */
WRAPPED(void, stream_set_output_marks, Stream *stream, size_t high, size_t hard) {
    bool process = str_starts(stream->conn.wire->to, "unix:");
    stream->conn.hard = sim->faults.stalls && process ? (size_t)64 << 10 : hard;
}

WRAPPED(void, stream_flush, Stream *stream) {
    FrameConn *end = &stream->conn;
    LIST_EACH(item, &end->wire->lane[1 - end->side].packets)
        LIST_ITEM(item, Packet, link)->flushed = true;
}

/* All that is sent leaves at once. */
WRAPPED(uint64_t, frame_progress, const FrameConn *conn) {
    return 0;
}

WRAPPED(uint64_t, frame_arriving, const FrameConn *conn) {
    return 0;
}

WRAPPED(int, stream_peer_pid, const Stream *stream, pid_t *ret_pid) {
    *ret_pid = stream->conn.pid;
    return 0;
}

/* ---- net/listener.h ---------------------------------------------------------------------------- */

WRAPPED(int, listener_new, Loop *loop, const NetAddress *address, size_t connections_max,
        ListenerFn *fn, void *ctx, Listener **ret_listener) {
    Listener *listener = mem_new(Listener);
    listener->address = *address;
    if (!net_address_is_unix(address) && net_address_port(address) == 0)
        net_address_set_port(&listener->address, ++sim->net->last_port);
    net_address_format(&listener->address, listener->text);
    listener->fn = fn;
    listener->ctx = ctx;
    list_push(&sim->net->listeners, &listener->link);
    *ret_listener = listener;
    return 0;
}

WRAPPED(const NetAddress *, listener_address, const Listener *listener) {
    return &listener->address;
}

WRAPPED(Listener *, listener_free, Listener *listener) {
    if (!listener)
        return NULL;
    LIST_EACH(item, &sim->net->wires) {
        Wire *wire = LIST_ITEM(item, Wire, link);
        if (wire->end[1] && wire->end[1]->listener == listener)
            wire->end[1]->listener = NULL;
    }
    list_remove(&listener->link);
    free(listener);
    return NULL;
}

/* ---- for the scripts and the faults ------------------------------------------------------------ */

FrameConn *net_dial_local(const char *path, pid_t pid, const FrameEvents *events, void *ctx) {
    NetAddress address;
    char text[NET_ADDRESS_TEXT_MAX];
    ASSERT(net_address_unix(path, &address) == 0);
    net_address_format(&address, text);
    FrameConn *end = wire_new(text, pid)->end[0];
    end->events = events;
    end->ctx = ctx;
    return end;
}

/* From here on nothing that it sends leaves, and it hears of nothing. */
static void end_dies(FrameConn *end, bool machine) {
    Lane *out = &end->wire->lane[1 - end->side];
    if (end->over)
        return;
    lane_lose(out, !machine || chance(2));
    lane_add(out, PACKET_CLOSE)->r = chance(2) ? 0 : -ECONNRESET;
    lane_clear(&end->wire->lane[end->side]);
    end->over = true;
}

void net_die(FrameConn *conn) {
    if (conn)
        end_dies(conn, false);
}

void net_die_accepted(const char *address, bool machine) {
    size_t len = strlen(address);
    LIST_EACH(item, &sim->net->wires) {
        FrameConn *end = LIST_ITEM(item, Wire, link)->end[1];
        if (end && end->listener && strncmp(end->listener->text, address, len) == 0)
            end_dies(end, machine);
    }
}

static Wire *wire_some(bool tcp_only) {
    uint32_t at = rnd((uint32_t)sim->net->wires_len + 1);
    LIST_EACH(item, &sim->net->wires) {
        Wire *wire = LIST_ITEM(item, Wire, link);
        bool both = wire->end[0] && wire->end[1] && !wire->end[0]->over && !wire->end[1]->over;
        if (both && (!tcp_only || !str_starts(wire->to, "unix:")) && at-- == 0)
            return wire;
    }
    return NULL;
}

bool net_cut_some(void) {
    Wire *wire = wire_some(true); /* a unix socket breaks with its process only */
    if (!wire)
        return false;
    note("the connection to %s breaks", wire->to);
    for (int i = 0; i < 2; i++) {
        lane_lose(&wire->lane[i], false);
        lane_add(&wire->lane[i], PACKET_CLOSE)->r = -ECONNRESET;
    }
    sim->did.cuts++;
    return true;
}

bool net_stall_some(void) {
    Wire *wire = wire_some(false);
    if (!wire)
        return false;
    Lane *lane = &wire->lane[rnd(2)];
    lane->stalled = loop_now(sim->loop) + rnd(5000) * USEC_PER_MSEC;
    note("nobody reads from %s for a while", wire->to);
    lane_arm(lane);
    return true;
}

void net_stand_still(FrameConn *conn, usec_t for_time) {
    for (int i = 0; i < 2; i++) {
        conn->wire->lane[i].stalled = loop_now(sim->loop) + for_time;
        lane_arm(&conn->wire->lane[i]);
    }
}

void net_heal(void) {
    LIST_EACH(item, &sim->net->wires)
        for (int i = 0; i < 2; i++) {
            LIST_ITEM(item, Wire, link)->lane[i].stalled = 0;
            lane_arm(&LIST_ITEM(item, Wire, link)->lane[i]);
        }
}

void net_begin(void) {
    sim->net = mem_new(struct Net);
    list_init(&sim->net->wires);
    list_init(&sim->net->listeners);
    sim->net->last_port = 10000;
}

void net_end(void) {
    LIST_EACH_SAFE(item, &sim->net->wires) {
        Wire *wire = LIST_ITEM(item, Wire, link);
        for (int i = 0; i < 2; i++)
            if (wire->end[i])
                end_free(wire->end[i]);
        wire_free(wire);
    }
    ASSERT(list_empty(&sim->net->listeners));
    sim->net = mem_free(sim->net);
}
