/* campaign_commit.c - a commit of a history: the library's verdict beside the rule's, the judge's
 * opinion, and PostgreSQL's rule. */
#include "support/campaign.h"

static struct judge_footprint footprint_of(const struct campaign_txn *open,
                                           const struct rule_verdict *verdict) {
    const struct rule_txn *model = &open->model;
    bool is_serializable = model->level == RULE_SERIALIZABLE;
    static struct judge_read weak[RULE_READS];
    for (int i = 0; i < model->read_count; i++) {
        weak[i] = (struct judge_read){model->reads[i].key, model->reads[i].at};
    }
    return (struct judge_footprint){.txn = open->number,
                                    .is_serializable = is_serializable,
                                    .snapshot = model->snapshot,
                                    .reads = is_serializable ? rule_read_keys(model) : 0,
                                    .writes = verdict->written,
                                    .late = verdict->dropped,
                                    .weak_reads = weak,
                                    .weak_count = is_serializable ? 0 : model->read_count};
}

static kh_conflict conflict_of(struct campaign *campaign, const struct campaign_txn *open,
                               kh_status status) {
    kh_conflict conflict = {.size = sizeof conflict};
    campaign_expect(campaign, kh_txn_conflict(open->txn, &conflict), KH_OK, "kh_txn_conflict");
    campaign_expect(campaign, conflict.status, status, "the conflict's status");
    if (open->model.level != RULE_COMMITTED &&
        conflict.snapshot != campaign_stamp(campaign, open->model.snapshot)) {
        campaign_fail(campaign, "a conflict names another snapshot");
    }
    return conflict;
}

static void check_conflict(struct campaign *campaign, const struct campaign_txn *open,
                           const struct rule_verdict *verdict) {
    kh_conflict conflict = conflict_of(campaign, open, KH_CONFLICT);
    int key = campaign_key(conflict.key);
    if (key < 0 || (verdict->conflicts >> key & 1) == 0) {
        campaign_fail(campaign, "a conflict names key %d, which has none", key);
    } else if (conflict.rival !=
               campaign_stamp(campaign, rule_newest(&campaign->rule, key)->commit)) {
        campaign_fail(campaign, "a conflict on key %d names another rival", key);
    }
}

/* The window is the rule's; the key was read, and its overwriter is the one that closes it. */
static void check_refusal(struct campaign *campaign, const struct campaign_txn *open,
                          const struct rule_verdict *verdict) {
    kh_conflict conflict = conflict_of(campaign, open, KH_NOT_SERIALIZABLE);
    bool is_exact = campaign->setting->range_limit == 0 && campaign->setting->read_limit == 0;
    if (!is_exact) {
        return;
    }
    if (conflict.pi != campaign_stamp(campaign, verdict->pi) ||
        conflict.eta != campaign_stamp(campaign, verdict->eta)) {
        campaign_fail(campaign, "refused with pi %lld and eta %lld, not %d and %d",
                      (long long)(conflict.pi - campaign->base) + 1,
                      (long long)(conflict.eta - campaign->base) + 1, verdict->pi, verdict->eta);
    }
    int key = campaign_key(conflict.key);
    const struct rule_version *next =
        key < 0 ? NULL : rule_after(&campaign->rule, key, open->model.snapshot);
    if (next == NULL || next->spi != verdict->pi ||
        (rule_read_keys(&open->model) >> key & 1) == 0 ||
        conflict.rival < campaign_stamp(campaign, next->commit)) {
        campaign_fail(campaign, "refused for key %d, which does not tell", key);
    }
}

static void check_dropped(struct campaign *campaign, const struct campaign_txn *open,
                          const struct rule_verdict *verdict) {
    unsigned dropped = 0;
    kh_resolved resolved;
    for (size_t i = 0; kh_txn_resolved(open->txn, i, &resolved) == KH_OK; i++) {
        int key = campaign_key(resolved.key);
        bool is_dropped = resolved.fate == KH_WRITE_DROPPED;
        dropped |= is_dropped && key >= 0 ? 1u << key : 0;
    }
    if (dropped != verdict->dropped) {
        campaign_fail(campaign, "dropped are %#x, not %#x", dropped, verdict->dropped);
    }
}

static void take_effect(struct campaign *campaign, struct campaign_txn *open,
                        const struct rule_verdict *verdict, const struct judge_footprint *footprint,
                        const struct judge_opinion *opinion) {
    if (opinion->closes_cycle || opinion->turns_time_round) {
        campaign_fail(campaign, "committed %s",
                      opinion->closes_cycle ? "a cycle" : "against real time");
    }
    rule_apply(&campaign->rule, &open->model, verdict);
    if (footprint->is_serializable || verdict->written != 0) {
        judge_commit(&campaign->judge, footprint, verdict->phi);
    }
    open->commit = verdict->written != 0 ? campaign->rule.clock : 0;
    campaign->counts->commits++;
    campaign_note(campaign, "C %d %d %d\n", open->number, open->commit, verdict->phi);
}

static void compare_with_peer(struct campaign *campaign, const struct judge_opinion *opinion,
                              bool is_refused) {
    const struct campaign_setting *setting = campaign->setting;
    bool is_of_its_kind = setting->policies == 1 && setting->levels == 0 && setting->rows == 0 &&
                          !setting->has_log && setting->range_limit == 0 &&
                          setting->read_limit == 0;
    if (!is_of_its_kind || campaign->has_parted) {
        return;
    }
    campaign->counts->judged_by_peer++;
    if (opinion->peer_refuses != is_refused) {
        campaign->has_parted = true;
        campaign->counts->peer_admits += is_refused;
        campaign->counts->peer_refuses += !is_refused;
        if (is_refused) {
            campaign_fail(campaign, "refused, and PostgreSQL's rule admits it");
        }
    }
}

static void count_refusal(struct campaign *campaign, const struct campaign_txn *open,
                          const struct rule_verdict *verdict, const struct judge_opinion *opinion) {
    campaign->counts->refusals++;
    campaign->counts->false_by_graph += !opinion->closes_cycle;
    campaign->counts->false_refusals += !opinion->turns_time_round;
    campaign_note(campaign, "N %d %d %d %d\n", open->number, !opinion->turns_time_round,
                  verdict->pi, verdict->eta);
}

/* ---- two steps ------------------------------------------------------------------------------- */

static unsigned written_keys(const struct campaign_txn *open) {
    unsigned keys = 0;
    for (int key = 0; key < RULE_KEYS; key++) {
        keys |= open->model.writes[key].kind != RULE_NONE ? 1u << key : 0;
    }
    return keys;
}

/* Does a prepared one hold what this one would write, or (to prepare) has read? */
static bool is_held(const struct campaign *campaign, const struct campaign_txn *open,
                    bool is_preparing) {
    bool is_held = false;
    for (int i = 0; i < campaign->open_count; i++) {
        const struct campaign_txn *holder = &campaign->open[i];
        if (!holder->is_prepared || holder == open) {
            continue;
        }
        unsigned held = written_keys(holder);
        unsigned reads = rule_read_keys(&open->model);
        is_held |= is_preparing && open->model.is_tracked && (reads & held) != 0;
        held |= holder->model.is_tracked ? rule_read_keys(&holder->model) : 0;
        is_held |= (written_keys(open) & held) != 0;
    }
    return is_held;
}

static bool is_overwritten(const struct campaign *campaign, const struct campaign_txn *open) {
    bool is_overwritten = false;
    for (int key = 0; key < RULE_KEYS; key++) {
        bool is_read = (rule_read_keys(&open->model) >> key & 1) != 0;
        is_overwritten |= is_read && rule_after(&campaign->rule, key, open->model.snapshot) != NULL;
    }
    return is_overwritten && open->model.is_tracked;
}

/* It has to be told so, unless a conflict was found before anybody looked. */
static bool meet_holder(struct campaign *campaign, const struct campaign_txn *open,
                        kh_status status, const struct rule_verdict *verdict) {
    if (status == KH_CONFLICT && verdict->answer == RULE_CONFLICT) {
        return false;
    }
    campaign_expect(campaign, status, KH_HELD, "a commit that meets a holder");
    campaign->counts->held++;
    campaign_note(campaign, "Z %d\n", open->number);
    return true;
}

/* ---- the verdict ----------------------------------------------------------------------------- */

/* Stamps that were forgotten early stand for more than they were. */
static bool may_go_beyond(const struct campaign *campaign, const struct campaign_txn *open) {
    bool forgets = campaign->setting->range_limit != 0 || campaign->setting->read_limit != 0;
    return forgets && open->model.is_tracked;
}

static void admit(struct campaign *campaign, struct campaign_txn *open,
                  const struct rule_verdict *verdict, const struct judge_opinion *opinion,
                  kh_timestamp timestamp) {
    struct judge_footprint footprint = footprint_of(open, verdict);
    take_effect(campaign, open, verdict, &footprint, opinion);
    int seen = open->commit != 0 ? open->commit : open->model.snapshot;
    bool is_moving = open->commit == 0 && open->model.level == RULE_COMMITTED;
    if (timestamp != 0 && !is_moving && timestamp != campaign_stamp(campaign, seen)) {
        campaign_fail(campaign, "T%d commits at another timestamp", open->number);
    }
    if (open->commit == 0 || timestamp != 0) {
        check_dropped(campaign, open, verdict);
    }
}

static const kh_status answers[] = {KH_OK, KH_CONFLICT, KH_NOT_SERIALIZABLE}; /* rule_answer */

static void turn_away(struct campaign *campaign, struct campaign_txn *open,
                      const struct rule_verdict *verdict, const struct judge_opinion *opinion) {
    if (campaign->failure != NULL) {
        return;
    }
    if (verdict->answer == RULE_CONFLICT) {
        check_conflict(campaign, open, verdict);
        campaign->counts->conflicts++;
        campaign_note(campaign, "W %d %u\n", open->number, verdict->conflicts);
    } else {
        check_refusal(campaign, open, verdict);
        count_refusal(campaign, open, verdict, opinion);
    }
}

static void judge_status(struct campaign *campaign, struct campaign_txn *open, kh_status status,
                         kh_timestamp timestamp) {
    struct rule_verdict verdict;
    rule_certify(&campaign->rule, &open->model, &verdict);
    struct judge_footprint footprint = footprint_of(open, &verdict);
    struct judge_opinion opinion = judge_ask(&campaign->judge, &footprint);
    if (is_held(campaign, open, false) && meet_holder(campaign, open, status, &verdict)) {
        return;
    }
    if (status == KH_NOT_SERIALIZABLE && verdict.answer == RULE_COMMIT &&
        may_go_beyond(campaign, open)) {
        campaign->counts->beyond_rule++;
        campaign_note(campaign, "Q %d\n", open->number);
        return;
    }
    campaign_expect(campaign, status, answers[verdict.answer], "commit");
    if (campaign->failure != NULL) {
        campaign_note(campaign, "? %d the rule has pi %d eta %d\n", open->number, verdict.pi,
                      verdict.eta);
        return;
    }
    if (verdict.answer != RULE_CONFLICT && open->model.is_tracked) {
        compare_with_peer(campaign, &opinion, verdict.answer == RULE_REFUSED);
    }
    if (verdict.answer == RULE_COMMIT) {
        admit(campaign, open, &verdict, &opinion, timestamp);
    } else {
        turn_away(campaign, open, &verdict, &opinion);
    }
}

static void judge_prepared(struct campaign *campaign, struct campaign_txn *open, kh_status status) {
    struct rule_verdict verdict;
    rule_certify(&campaign->rule, &open->model, &verdict);
    struct judge_footprint footprint = footprint_of(open, &verdict);
    struct judge_opinion opinion = judge_ask(&campaign->judge, &footprint);
    if (is_held(campaign, open, true) && meet_holder(campaign, open, status, &verdict)) {
        return;
    }
    if (verdict.answer != RULE_COMMIT) {
        campaign_expect(campaign, status, answers[verdict.answer], "prepare");
        turn_away(campaign, open, &verdict, &opinion);
    } else if (is_overwritten(campaign, open)) {
        campaign_expect(campaign, status, KH_NOT_SERIALIZABLE, "prepare of what is gone");
        campaign->counts->beyond_rule++;
        campaign_note(campaign, "Q %d\n", open->number);
    } else {
        campaign_expect(campaign, status, KH_OK, "prepare");
        campaign->counts->prepared++;
        campaign_note(campaign, "L %d\n", open->number);
        open->is_prepared = true;
    }
}

/* One that is prepared takes a commit of its own: here always one with versions. */
void campaign_prepare(struct campaign *campaign, struct campaign_txn *open) {
    struct rule_verdict verdict;
    rule_certify(&campaign->rule, &open->model, &verdict);
    if (verdict.answer == RULE_COMMIT && verdict.written == 0) {
        campaign_commit(campaign, open, true);
        return;
    }
    judge_prepared(campaign, open, kh_txn_prepare(open->txn, NULL));
    if (!open->is_prepared) {
        kh_txn_close(open->txn);
        *open = campaign->open[--campaign->open_count];
    }
    campaign_look(campaign);
}

void campaign_commit(struct campaign *campaign, struct campaign_txn *open, bool is_waiting) {
    kh_timestamp timestamp = 0;
    kh_status status = is_waiting ? kh_txn_commit(open->txn, &timestamp, NULL)
                                  : kh_txn_commit_start(open->txn, NULL);
    judge_status(campaign, open, status, timestamp);
    bool is_flying = status == KH_OK && !is_waiting && open->commit != 0;
    if (is_flying) {
        campaign->counts->in_flight++;
        campaign->flying[campaign->flying_count++] = *open;
    } else if (status == KH_OK) {
        judge_end(&campaign->judge, open->number);
    }
    if (!is_flying) {
        kh_txn_close(open->txn);
    }
    *open = campaign->open[--campaign->open_count];
    campaign_look(campaign);
}
