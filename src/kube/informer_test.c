/* SPDX-License-Identifier: Apache-2.0 */
/* The informer against a server that forgets, cuts and lies dead; the cache; who may lead. */
#include "kube/informer.h"

#include <stdio.h>

#include "base/test.h"
#include "kobj/meta.h"
#include "kube/cache.h"
#include "kube/leader.h"
#include "net/http_router.h"

#define ITEM(name, uid, revision)                                                                  \
    "{\"metadata\":{\"name\":\"" name "\",\"uid\":\"" uid "\",\"resourceVersion\":\"" revision     \
    "\"}}"
#define LIST(revision, items)                                                                      \
    "{\"kind\":\"ThingList\",\"apiVersion\":\"v1\",\"metadata\":{\"resourceVersion\":\"" revision  \
    "\"},\"items\":[" items "]}"
#define EVENT(type, item) "{\"type\":\"" type "\",\"object\":" item "}\n"

/* A server of one list: the test sets what it answers. */
typedef struct Server {
    Loop *loop;
    HttpServer *http;
    HttpClient *client_http;
    KubeClient *client;
    const char *list; /* body of the next lists */
    int tokens;       /* of a list without end: each page has the next of so many tokens */
    int list_status, watch_status;
    int lists, watches;
    HttpRequest *watch;
    char *watch_revision;
    /* What the informer told. */
    Buf told;
    char *complaint;
} Server;

static void on_watch_gone(void *ctx) {
    Server *s = ctx;
    http_response_end(TAKE(s->watch));
}

static void serve_watch(Server *s, HttpRequest *request) {
    s->watches++;
    free(s->watch_revision);
    s->watch_revision = str_dup(http_query_get(http_request_query(request), "resourceVersion"));
    if (s->watch_status != 200) {
        http_respond(request, s->watch_status, "application/json",
                     SLICE("{\"kind\":\"Status\",\"code\":410,\"reason\":\"Expired\","
                           "\"message\":\"too old\"}"));
        return;
    }
    s->watch = request;
    http_request_on_gone(request, on_watch_gone, s);
    http_response_start(request, 200, "application/json", -1);
}

static void serve(void *ctx, HttpRequest *request) {
    Server *s = ctx;
    if (http_query_get(http_request_query(request), "watch")) {
        serve_watch(s, request);
        return;
    }
    s->lists++;
    if (s->tokens) {
        _cleanup_free_ char *page = str_printf(
            "{\"kind\":\"ThingList\",\"metadata\":{\"resourceVersion\":\"5\",\"continue\":"
            "\"t%d\"},\"items\":[" ITEM("a", "1", "3") "]}",
            s->lists % s->tokens);
        http_respond(request, 200, "application/json", slice_str(page));
        return;
    }
    if (s->list_status == 200)
        http_respond(request, 200, "application/json", slice_str(s->list));
    else
        http_respond_text(request, s->list_status, "no");
}

static void tell(Server *s, char what, const json_t *object) {
    buf_printf(&s->told, "%c%s ", what, object ? obj_name(object) : "");
}
static void on_added(void *ctx, json_t *object) {
    tell(ctx, '+', object);
}
static void on_updated(void *ctx, json_t *old, json_t *object) {
    UNUSED(old);
    tell(ctx, '~', object);
}
static void on_deleted(void *ctx, json_t *object) {
    tell(ctx, '-', object);
}
static void on_synced(void *ctx) {
    tell(ctx, '!', NULL);
}
static void on_stuck(void *ctx, int r, const char *message) {
    Server *s = ctx;
    UNUSED(r);
    tell(s, '?', NULL);
    str_set(&s->complaint, message);
}

static const KubeInformerEvents events = { on_added, on_updated, on_deleted, on_synced, on_stuck };

static void server_new(Server *s) {
    NetAddress address, bound;
    *s = (Server){ .list_status = 200, .watch_status = 200 };
    CHECK_OK(loop_new(&s->loop));
    s->http = http_server_new(s->loop, NULL, serve, s);
    CHECK_OK(net_address_ip("127.0.0.1", 0, &address));
    CHECK_OK(http_server_listen(s->http, &address, NULL, &bound));
    KubeConfig config = { .server = str_printf("http://127.0.0.1:%u", net_address_port(&bound)),
                          .namespace = str_dup("default"),
                          .context = str_dup("") };
    s->client_http = http_client_new(s->loop);
    CHECK_OK(kube_client_new(s->loop, s->client_http, &config, &s->client));
}

static void server_done(Server *s) {
    kube_client_free(s->client);
    http_client_free(s->client_http);
    http_server_free(s->http);
    loop_free(s->loop);
    buf_done(&s->told);
    free(s->watch_revision);
    free(s->complaint);
}

#define WAIT(s, condition)                                                                         \
    do {                                                                                           \
        usec_t deadline_ = loop_deadline((s)->loop, 5 * USEC_PER_SEC);                             \
        while (!(condition) && loop_now((s)->loop) < deadline_)                                    \
            loop_tick((s)->loop, deadline_);                                                       \
        CHECK(condition);                                                                          \
    } while (0)
#define TOLD(s, text) ((s)->told.len && str_eq((s)->told.data, text))

static void send_event(Server *s, const char *line) {
    http_response_write(s->watch, slice_str(line));
}

static void test_resumes_after_cuts_and_relists_after_410(void **state) {
    UNUSED(state);
    Server s;
    server_new(&s);
    KubeInformerSpec spec = { .gvr = { "", "v1", "things" } };
    s.list = LIST("10", ITEM("a", "1", "3") "," ITEM("b", "2", "4"));
    KubeInformer *informer = kube_informer_new(s.client, &spec, &events, &s);
    kube_informer_start(informer);
    WAIT(&s, s.watch);
    CHECK_STR(s.told.data, "+a +b ! ");
    CHECK_STR(s.watch_revision, "10");
    CHECK_STR(obj_kind(kube_informer_get(informer, NULL, "a")), "Thing");
    buf_clear(&s.told);

    /* Half an event, then the connection breaks: the half is not believed. */
    send_event(&s, EVENT("ADDED", ITEM("c", "3", "11"))
                       EVENT("BOOKMARK", "{\"metadata\":{"
                                         "\"resourceVersion\":\"15\"}}"));
    http_response_write(s.watch, SLICE("{\"type\":\"DELETED\","));
    WAIT(&s, TOLD(&s, "+c "));
    loop_tick(s.loop, 0);
    http_response_abort(TAKE(s.watch));
    WAIT(&s, s.watch);
    CHECK_STR(s.watch_revision, "15");
    CHECK_INT(s.lists, 1);
    CHECK_STR(s.told.data, "+c ? ");
    buf_clear(&s.told);

    /* Old news change nothing. */
    send_event(&s, EVENT("MODIFIED", ITEM("c", "3", "11")) EVENT("MODIFIED", ITEM("a", "1", "16")));
    WAIT(&s, TOLD(&s, "~a "));
    buf_clear(&s.told);

    /* The revision is too old: a new list, and only its differences are told. */
    s.list = LIST("30", ITEM("a", "1", "16") "," ITEM("c", "9", "20") "," ITEM("d", "4", "21"));
    send_event(&s, EVENT("ERROR", "{\"kind\":\"Status\",\"code\":410,\"reason\":\"Expired\"}"));
    WAIT(&s, s.lists == 2 && s.watch && str_eq(s.watch_revision, "30"));
    CHECK_STR(s.told.data, "-c +c +d -b ");
    CHECK_INT(kube_informer_count(informer), 3);
    kube_informer_free(informer);
    WAIT(&s, !s.watch);
    server_done(&s);
}

static void test_says_once_why_it_is_stuck(void **state) {
    UNUSED(state);
    Server s;
    server_new(&s);
    KubeInformerSpec spec = { .gvr = { "", "v1", "things" } };
    s.list_status = 500;
    KubeInformer *informer = kube_informer_new(s.client, &spec, &events, &s);
    kube_informer_start(informer);
    WAIT(&s, s.lists == 3);
    CHECK(TOLD(&s, "? "));
    s.list_status = 200;
    s.list = LIST("1", "");
    s.watch_status = 410;
    WAIT(&s, s.watches == 1);
    s.watch_status = 200;
    WAIT(&s, s.watch);
    CHECK(kube_informer_synced(informer));
    kube_informer_free(informer);
    WAIT(&s, !s.watch);
    server_done(&s);
}

static void test_a_list_without_end_is_given_up(void **state) {
    UNUSED(state);
    static const struct {
        int tokens, pages;
        const char *complaint;
    } cases[] = {
        { 1, 2,
          "the list of things stands still: the server gave one continue token for two pages" },
        { 2, 1000, "the list of things has more than 1000 pages" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        Server s;
        server_new(&s);
        KubeInformerSpec spec = { .gvr = { "", "v1", "things" } };
        s.tokens = cases[i].tokens;
        KubeInformer *informer = kube_informer_new(s.client, &spec, &events, &s);
        kube_informer_start(informer);
        WAIT(&s, TOLD(&s, "+a ? "));
        CHECK_INT(s.lists, cases[i].pages);
        CHECK_STR(s.complaint, cases[i].complaint);
        CHECK(!kube_informer_synced(informer));

        /* It is tried again, from the beginning. */
        s.tokens = 0;
        s.list = LIST("6", ITEM("a", "1", "3"));
        WAIT(&s, s.watch);
        CHECK_STR(s.told.data, "+a ? ! ");
        kube_informer_free(informer);
        WAIT(&s, !s.watch);
        server_done(&s);
    }
}

static void by_first_letter(const json_t *object, StrList *keys) {
    char letter[2] = { obj_name(object)[0], 0 };
    strlist_add(keys, letter);
}

static void test_cache_against_a_model(void **state) {
    UNUSED(state);
    enum {
        N = 60
    };
    bool model[N] = { 0 };
    KubeCache *cache = kube_cache_new();
    kube_cache_add_index(cache, "letter", by_first_letter);
    uint32_t random = 3;
    for (int step = 0; step < 4000; step++) {
        random = random * 1664525u + 1013904223u;
        int i = (int)(random >> 8) % N;
        char name[8];
        snprintf(name, sizeof(name), "%c%02d", 'a' + i % 3, i);
        if (random >> 31) {
            json_t *old = NULL;
            kube_cache_put(cache, name, json_pack("{s:{s:s}}", "metadata", "name", name), &old);
            CHECK((old != NULL) == model[i]);
            json_decref(old);
            model[i] = true;
        } else {
            json_t *old = kube_cache_remove(cache, name);
            CHECK((old != NULL) == model[i]);
            json_decref(old);
            model[i] = false;
        }
        size_t counts[3] = { 0 }, count;
        for (int k = 0; k < N; k++)
            counts[k % 3] += model[k];
        CHECK_INT(kube_cache_count(cache), counts[0] + counts[1] + counts[2]);
        for (int k = 0; k < 3; k++) {
            json_t *const *found =
                kube_cache_by(cache, "letter", (char[]){ (char)('a' + k), 0 }, &count);
            CHECK_INT(count, counts[k]);
            for (size_t n = 1; n < count; n++)
                CHECK(strcmp(obj_name(found[n - 1]), obj_name(found[n])) < 0);
        }
    }
    kube_cache_free(cache);
}

static void test_revisions(void **state) {
    UNUSED(state);
    CHECK(kube_revision_compare("9", "10") < 0);
    CHECK(kube_revision_compare("10", "10") == 0);
    CHECK(kube_revision_compare("11", "10") > 0);
    CHECK(kube_revision_compare("x", "10") > 0);
    CHECK(kube_revision_compare(NULL, "10") > 0);
}

static void test_who_may_lead(void **state) {
    UNUSED(state);
    LeaderView view = { 0 };
    CHECK(leader_decide(&view, "me", 0) == LEADER_CREATE);
    view =
        (LeaderView){ .exists = true, .holder = "you", .observed_at = 100, .lease_duration = 15 };
    CHECK(leader_decide(&view, "me", 114) == LEADER_WAIT);
    CHECK(leader_decide(&view, "me", 115) == LEADER_TAKE);
    CHECK(leader_decide(&view, "you", 1000) == LEADER_RENEW);
    view.holder[0] = 0;
    CHECK(leader_decide(&view, "me", 101) == LEADER_TAKE);
}

int main(void) {
    return TEST_RUN(TEST(test_resumes_after_cuts_and_relists_after_410),
                    TEST(test_says_once_why_it_is_stuck), TEST(test_a_list_without_end_is_given_up),
                    TEST(test_cache_against_a_model), TEST(test_revisions),
                    TEST(test_who_may_lead));
}
