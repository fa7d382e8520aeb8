/* campaign_waiter.c - a deferrable begin that has to wait, in a thread of its own, while the
 * history goes on: when it comes back, and with which snapshot, is the library's to say; that the
 * snapshot is safe is the judge's to see. One at a time. */
#include "support/campaign.h"

#include <sched.h>

static void *wait_for_safety(void *context) {
    struct campaign_waiter *waiter = context;
    kh_txn_options options = KH_TXN_OPTIONS_INIT;
    options.isolation = KH_SERIALIZABLE;
    options.flags = KH_BEGIN_READ_ONLY | KH_BEGIN_DEFERRABLE;
    waiter->status = kh_txn_begin(waiter->db, &options, &waiter->txn, NULL);
    atomic_store_explicit(&waiter->is_back, true, memory_order_release);
    return NULL;
}

static bool is_back(struct campaign_waiter *waiter) {
    return atomic_load_explicit(&waiter->is_back, memory_order_acquire);
}

static uint64_t count_snapshots(struct campaign *campaign) {
    static kh_stats stats;
    stats.size = sizeof stats;
    campaign_expect(campaign, kh_db_stats(campaign->db, &stats, NULL), KH_OK, "kh_db_stats");
    return stats.snapshots;
}

void campaign_send_waiter(struct campaign *campaign) {
    struct campaign_waiter *waiter = &campaign->waiter;
    enum { ROUNDS = 8 };
    uint64_t snapshots = count_snapshots(campaign);
    waiter->db = campaign->db;
    waiter->txn = NULL;
    waiter->number = campaign->begun++;
    waiter->earliest = campaign->visible;
    atomic_store_explicit(&waiter->is_back, false, memory_order_relaxed);
    if (pthread_create(&waiter->thread, NULL, wait_for_safety, waiter) != 0) {
        campaign_fail(campaign, "no thread");
        return;
    }
    waiter->is_out = true;
    judge_begin(&campaign->judge, waiter->number);
    campaign->counts->waits++;
    campaign_note(campaign, "B %d 3 1 2 0\n", waiter->number);
    /* Let it get as far as to wait: what it has to notice comes after. */
    while (!is_back(waiter) && count_snapshots(campaign) == snapshots) {
        (void)sched_yield();
    }
    for (int i = 0; i < ROUNDS && !is_back(waiter); i++) {
        (void)sched_yield();
    }
}

static void come_back(struct campaign *campaign) {
    struct campaign_waiter *waiter = &campaign->waiter;
    struct campaign_txn *open = &campaign->open[campaign->open_count];
    (void)pthread_join(waiter->thread, NULL);
    waiter->is_out = false;
    campaign_expect(campaign, waiter->status, KH_OK, "a deferrable begin that waited");
    if (waiter->status != KH_OK) {
        return;
    }
    int snapshot = (int)(kh_txn_snapshot(waiter->txn) - campaign->base) + 1;
    if (snapshot < waiter->earliest || snapshot > campaign->visible) {
        campaign_fail(campaign, "a deferrable snapshot %d, not in [%d, %d]", snapshot,
                      waiter->earliest, campaign->visible);
    }
    memset(open, 0, sizeof *open);
    open->txn = waiter->txn;
    open->number = waiter->number;
    open->policy = RULE_FAIL;
    open->is_read_only = open->is_deferrable = open->only_reads = true;
    rule_begin(&open->model, RULE_SERIALIZABLE, false, snapshot);
    campaign->open_count++;
    campaign->counts->begins++;
    campaign_note(campaign, "Y %d %d\n", open->number, snapshot);
    campaign_scan(campaign, open, 0, campaign->setting->keys, 0, false);
}

void campaign_meet_waiter(struct campaign *campaign, bool is_last) {
    struct campaign_waiter *waiter = &campaign->waiter;
    if (!waiter->is_out || campaign->open_count == CAMPAIGN_OPEN) {
        return;
    }
    if (is_last && campaign->flying_count > 0) {
        campaign_answer(campaign, campaign->flying[campaign->flying_count - 1].commit);
    }
    if (is_last || is_back(waiter)) {
        come_back(campaign);
    }
}

void campaign_drop_waiter(struct campaign *campaign) {
    if (campaign->waiter.is_out) {
        (void)pthread_join(campaign->waiter.thread, NULL);
        campaign->waiter.is_out = false;
        kh_txn_close(campaign->waiter.txn);
    }
}
