/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"
#include "base/log.h"
#include "gcs/gcs_private.h"

/*
 * What others hear of an actor, and what the log keeps of it. News wait for the log: nobody hears of
 * what the next gcs would not know.
 */

typedef struct ActorNews {
    List link;   /* in Gcs.actor_news */
    ActorId actor;
    Buf record;  /* for the channel; empty: nothing changed */
    Buf message; /* for `to` */
    Vec(PeerId) to;
} ActorNews;

void actor_info(const GcsActor *actor, Arena *arena, ActorInfo *ret_info) {
    ActorInfo info;
    int r = actor_info_decode(&info, actor->record.data, actor->record.len, arena);
    ASSERT(r == 0); /* it was decoded when it came */
    info.state = (uint8_t)actor->state;
    info.worker = actor->worker;
    info.worker_id = actor->worker_id;
    info.node = actor->node;
    info.name = slice_str(actor->name);
    info.namespace = slice_str(actor->namespace_);
    info.class_name = slice_str(actor->class_name);
    info.job = actor->job;
    info.restarts = actor->restarts;
    info.max_restarts = actor->max_restarts;
    info.death_text = slice_str(actor->death_text);
    info.death_kind = (uint8_t)actor->death_kind;
    info.death_error = buf_slice(&actor->death_error);
    info.pid = actor->pid;
    info.ip = slice_str(actor->ip);
    info.detached = actor->detached;
    info.owner = actor->owner;
    info.repr = slice_str(actor->repr);
    *ret_info = info;
}

static void actor_encode(const GcsActor *actor, Buf *out) {
    _cleanup_arena_ Arena arena = { 0 };
    ActorInfo info;
    actor_info(actor, &arena, &info);
    actor_info_encode(&info, out);
}

int actor_store(Gcs *gcs, const GcsActor *actor) {
    _cleanup_buf_ Buf record = { 0 };
    actor_encode(actor, &record);
    return gcs_store(gcs, "actor", ID_SLICE(&actor->id), &record);
}

void actor_message(const GcsActor *actor, Buf *out) {
    _cleanup_arena_ Arena arena = { 0 };
    ActorInfoReply reply;
    actor_info(actor, &arena, &reply.info);
    actor_info_reply_encode(&reply, out);
}

static void news_free(ActorNews *news) {
    list_remove(&news->link);
    buf_done(&news->record);
    buf_done(&news->message);
    vec_done(&news->to);
    mem_free(news);
}

static void news_logged(Gcs *gcs, const char *key) {
    UNUSED(key); /* the log answers in order */
    ActorNews *news = LIST_ITEM(gcs->actor_news.next, ActorNews, link);
    VEC_EACH(peer, &news->to)
        gcs_send(gcs, *peer, MSG_ACTOR_INFO_REPLY, &news->message);
    if (news->record.len)
        pubsub_publish(gcs, "actor", ID_SLICE(&news->actor), buf_slice(&news->record));
    news_free(news);
}

/* Of the actor as it is; told once all that was written so far is logged. */
static ActorNews *news_new(Gcs *gcs, const GcsActor *actor) {
    ActorNews *news = mem_new(ActorNews);
    list_push(&gcs->actor_news, &news->link);
    news->actor = actor->id;
    actor_message(actor, &news->message);
    gcs_log_then(gcs, news_logged, "");
    return news;
}

void actor_tell(Gcs *gcs, const GcsActor *actor, PeerId peer) {
    ActorNews *news = news_new(gcs, actor);
    vec_push(&news->to, peer);
}

void actors_changed(Gcs *gcs, const GcsActor *actor) {
    _cleanup_buf_ Buf record = { 0 };
    actor_encode(actor, &record);
    int r = gcs_store(gcs, "actor", ID_SLICE(&actor->id), &record);
    if (r < 0)
        log_warn("actor %s: %s", ID_HEX(&actor->id), error_text(r));
    ActorNews *news = news_new(gcs, actor);
    news->record = record;
    record = (Buf){ 0 };
    VEC_EACH(peer, &actor->subscribers)
        vec_push(&news->to, *peer);
}

void actor_news_done(Gcs *gcs) {
    LIST_EACH_SAFE(item, &gcs->actor_news)
        news_free(LIST_ITEM(item, ActorNews, link));
}
