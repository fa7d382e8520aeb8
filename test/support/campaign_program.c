/* campaign_program.c - what the transactions of a history do: random programs, in settings that
 * each make another part of the rule matter. */
#include "support/campaign.h"

enum { EVERY_POLICY = 6 };

const struct campaign_setting campaign_settings[] = {
    {.name = "serializable-fail",
     .keys = 5,
     .txns = 12,
     .open_max = 4,
     .policies = 1,
     .readers = 10,
     .slow = 25,
     .steps = 30},
    {.name = "serializable-policies",
     .keys = 5,
     .txns = 12,
     .open_max = 4,
     .policies = EVERY_POLICY,
     .readers = 10,
     .slow = 25,
     .steps = 30},
    {.name = "levels-fail",
     .keys = 5,
     .txns = 14,
     .open_max = 4,
     .levels = 33,
     .policies = 1,
     .readers = 10,
     .slow = 25,
     .steps = 30},
    {.name = "levels-policies",
     .keys = 5,
     .txns = 14,
     .open_max = 4,
     .levels = 33,
     .policies = EVERY_POLICY,
     .readers = 10,
     .slow = 25,
     .steps = 30},
    {.name = "deferrable",
     .keys = 5,
     .txns = 16,
     .open_max = 5,
     .levels = 2,
     .policies = EVERY_POLICY,
     .readers = 10,
     .deferrable = 25,
     .slow = 40,
     .steps = 30},
    {.name = "evicted-ranges",
     .keys = 5,
     .txns = 16,
     .open_max = 5,
     .policies = EVERY_POLICY,
     .readers = 10,
     .slow = 40,
     .steps = 10,
     .range_limit = 1},
    {.name = "widened-reads",
     .keys = 5,
     .txns = 12,
     .open_max = 4,
     .policies = 1,
     .readers = 10,
     .slow = 25,
     .steps = 30,
     .read_limit = 2},
    {.name = "hot",
     .keys = 3,
     .txns = 14,
     .open_max = 6,
     .policies = 4,
     .readers = 10,
     .slow = 25,
     .steps = 30},
    {.name = "wide",
     .keys = 8,
     .txns = 24,
     .open_max = 8,
     .policies = 1,
     .readers = 10,
     .slow = 25,
     .steps = 30},
    {.name = "lag-everything",
     .keys = 5,
     .txns = 16,
     .open_max = 5,
     .levels = 22,
     .policies = EVERY_POLICY,
     .readers = 10,
     .deferrable = 10,
     .slow = 25,
     .rows = 15,
     .steps = 40,
     .has_log = true},
    {.name = "lag-fail",
     .keys = 5,
     .txns = 20,
     .open_max = 5,
     .policies = 1,
     .readers = 10,
     .deferrable = 10,
     .slow = 25,
     .steps = 40,
     .has_log = true},
    {.name = "long-readers",
     .keys = 6,
     .txns = 30,
     .open_max = 6,
     .policies = 3,
     .readers = 10,
     .slow = 50,
     .steps = 30},
    {.name = "long-readers-uncollected",
     .keys = 4,
     .txns = 30,
     .open_max = 6,
     .policies = 1,
     .readers = 5,
     .slow = 50},
    {.name = "waiting",
     .keys = 5,
     .txns = 16,
     .open_max = 5,
     .levels = 1,
     .policies = 3,
     .readers = 5,
     .deferrable = 25,
     .slow = 40,
     .has_threads = true},
    {.name = "lag-waiting",
     .keys = 5,
     .txns = 16,
     .open_max = 5,
     .policies = 1,
     .readers = 5,
     .deferrable = 25,
     .slow = 40,
     .has_log = true,
     .has_threads = true},
    {.name = "prepared",
     .keys = 6,
     .txns = 16,
     .open_max = 6,
     .levels = 11,
     .policies = EVERY_POLICY,
     .readers = 10,
     .slow = 25,
     .rows = 10,
     .prepares = 40,
     .steps = 30},
    {.name = "lag-prepared",
     .keys = 6,
     .txns = 16,
     .open_max = 6,
     .policies = 3,
     .readers = 5,
     .deferrable = 10,
     .slow = 25,
     .prepares = 30,
     .steps = 30,
     .has_log = true},
    {.name = "flooded",
     .keys = 5,
     .txns = 12,
     .open_max = 5,
     .policies = 1,
     .readers = 10,
     .slow = 40,
     .steps = 20,
     .has_floods = true},
    {.name = "rows",
     .keys = 4,
     .txns = 14,
     .open_max = 5,
     .levels = 11,
     .policies = EVERY_POLICY,
     .readers = 10,
     .slow = 25,
     .rows = 60,
     .steps = 30},
    {.name = "moved",
     .keys = 4,
     .txns = 16,
     .open_max = 5,
     .levels = 11,
     .policies = EVERY_POLICY,
     .readers = 10,
     .deferrable = 15,
     .slow = 40,
     .rows = 10,
     .prepares = 10,
     .locks = 35,
     .steps = 30},
    {.name = "lag-moved",
     .keys = 4,
     .txns = 16,
     .open_max = 5,
     .policies = 3,
     .readers = 5,
     .deferrable = 15,
     .slow = 40,
     .locks = 35,
     .steps = 30,
     .has_log = true},
    {.name = "waiting-moved",
     .keys = 4,
     .txns = 16,
     .open_max = 5,
     .policies = 1,
     .readers = 5,
     .deferrable = 25,
     .slow = 40,
     .locks = 35,
     .has_threads = true},
};
const int campaign_setting_count = sizeof campaign_settings / sizeof campaign_settings[0];

const struct campaign_setting campaign_six_over_three = {.name = "six-over-three",
                                                         .keys = 3,
                                                         .txns = 6,
                                                         .open_max = 5,
                                                         .policies = 1,
                                                         .steps = 10,
                                                         .is_sampled = true};

const struct campaign_setting campaign_three_over_two = {.name = "three-over-two",
                                                         .keys = 2,
                                                         .txns = 3,
                                                         .open_max = 3,
                                                         .policies = 1,
                                                         .steps = 20,
                                                         .is_sampled = true};

static int below(struct campaign *campaign, int bound) {
    return kv_random_below(&campaign->random, bound);
}

static bool chance(struct campaign *campaign, int per_cent) {
    return below(campaign, 100) < per_cent;
}

/* ---- begin ----------------------------------------------------------------------------------- */

static enum rule_policy choose_policy(struct campaign *campaign) {
    return (enum rule_policy)(1 + below(campaign, campaign->setting->policies));
}

static enum rule_level choose_level(struct campaign *campaign) {
    int of_ten = below(campaign, 10);
    int weakest = campaign->setting->levels / 10;
    int weak = campaign->setting->levels % 10;
    return of_ten < weakest          ? RULE_COMMITTED
           : of_ten < weakest + weak ? RULE_SNAPSHOT
                                     : RULE_SERIALIZABLE;
}

static void begin(struct campaign *campaign) {
    const struct campaign_setting *setting = campaign->setting;
    enum rule_level level = choose_level(campaign);
    enum rule_policy policy = choose_policy(campaign);
    int kind = chance(campaign, setting->readers) ? 1 : 0;
    if (chance(campaign, setting->deferrable)) {
        level = RULE_SERIALIZABLE;
        kind = 2;
    }
    int count = campaign->open_count;
    campaign_begin(campaign, level, policy, kind);
    if (campaign->open_count > count) {
        struct campaign_txn *open = &campaign->open[count];
        open->left = (setting->read_limit != 0 ? 4 : 1) + below(campaign, 4);
        open->is_slow = chance(campaign, setting->slow);
        open->only_reads = open->is_read_only || chance(campaign, 22);
    }
}

/* ---- an operation ---------------------------------------------------------------------------- */

/* Something that the policy makes sense with: a change of what was there, or some cells. */
static struct rule_value choose_value(struct campaign *campaign, const struct campaign_txn *open,
                                      int key, enum rule_policy policy) {
    struct rule_value value = {false, 0, {0}};
    int cell = below(campaign, RULE_CELLS);
    bool is_change = policy == RULE_MERGE || policy == RULE_APPEND;
    if (is_change && chance(campaign, 80)) {
        value = open->model.writes[key].kind == RULE_PUT
                    ? open->model.writes[key].value
                    : rule_base(&campaign->rule, &open->model, key);
    }
    value.is_there = true;
    value.cells |= 1u << cell;
    value.cell[cell] = ++campaign->number;
    return value;
}

static void write(struct campaign *campaign, struct campaign_txn *open, int key) {
    const struct campaign_setting *setting = campaign->setting;
    enum rule_policy policy = open->policy;
    if (chance(campaign, setting->rows)) {
        struct rule_value rows = choose_value(campaign, open, key, RULE_FAIL);
        campaign_rows(campaign, open, key, &rows);
        return;
    }
    if (open->model.level != RULE_COMMITTED && chance(campaign, 25)) {
        policy = choose_policy(campaign); /* of this write alone */
    }
    if (chance(campaign, 27)) {
        campaign_put(campaign, open, key, NULL, policy);
        return;
    }
    struct rule_value value = choose_value(campaign, open, key, policy);
    campaign_put(campaign, open, key, &value, policy);
}

static void read_range(struct campaign *campaign, struct campaign_txn *open, int key) {
    int high = key + 1 + below(campaign, 3);
    int limit = below(campaign, 4);
    high = high < campaign->setting->keys ? high : campaign->setting->keys;
    campaign_scan(campaign, open, key, high, limit == 3 ? 0 : limit, chance(campaign, 50));
}

static void operate(struct campaign *campaign, struct campaign_txn *open) {
    int locks = open->is_read_only ? 0 : campaign->setting->locks;
    if (locks > 0 && chance(campaign, locks)) {
        campaign_lock(campaign, open);
        open->left++;
        return;
    }
    int choice = below(campaign, 100);
    int key = below(campaign, campaign->setting->keys);
    if (choice < 38 || (open->only_reads && choice < 70)) {
        campaign_get(campaign, open, key);
    } else if (choice < 53 || open->only_reads) {
        read_range(campaign, open, key);
    } else if (choice < 94) {
        write(campaign, open, key);
    } else if (open->model.saved_count == 0) {
        campaign_save(campaign, open);
        open->left += 2;
    } else {
        campaign_undo(campaign, open, 1 + below(campaign, open->model.saved_count));
    }
}

/* ---- a step of a random history -------------------------------------------------------------- */

static void finish(struct campaign *campaign, struct campaign_txn *open) {
    if (chance(campaign, open->is_prepared ? 30 : 3)) {
        campaign_rollback(campaign, open);
    } else if (!open->is_prepared && !open->is_read_only &&
               chance(campaign, campaign->setting->prepares)) {
        campaign_prepare(campaign, open);
    } else {
        bool is_waiting = !campaign->setting->has_log || open->is_prepared;
        campaign_commit(campaign, open, is_waiting || chance(campaign, 15));
    }
}

static void go_on(struct campaign *campaign) {
    struct campaign_txn *open = &campaign->open[below(campaign, campaign->open_count)];
    if (open->is_slow && !chance(campaign, 12)) {
        return;
    }
    if (open->left > 0) {
        open->left--;
        operate(campaign, open);
    } else {
        finish(campaign, open);
    }
}

/* Has an open one scanned what was overwritten since? Then it matters what is kept in mind. */
static bool has_overtaken_scan(const struct campaign *campaign) {
    bool has_one = false;
    for (int i = 0; i < campaign->open_count; i++) {
        const struct rule_txn *model = &campaign->open[i].model;
        for (int scan = 0; scan < model->scan_count; scan++) {
            for (int key = 0; key < RULE_KEYS; key++) {
                has_one |= (model->scans[scan] >> key & 1) != 0 &&
                           rule_after(&campaign->rule, key, model->snapshot) != NULL;
            }
        }
    }
    return has_one;
}

static void step(struct campaign *campaign) {
    const struct campaign_setting *setting = campaign->setting;
    bool may_begin = campaign->begun < setting->txns;
    bool has_room = campaign->open_count < setting->open_max;
    if (may_begin && (campaign->open_count == 0 || (has_room && chance(campaign, 35)))) {
        begin(campaign);
    } else if (campaign->open_count > 0) {
        go_on(campaign);
    }
    if (campaign->flood_at > 0 && campaign->begun >= campaign->flood_at &&
        has_overtaken_scan(campaign)) {
        campaign->flood_at = 0;
        campaign_flood(campaign);
    }
    campaign_meet_waiter(campaign, !may_begin && campaign->open_count == 0);
    if (campaign->flying_count > 0 && chance(campaign, 30)) {
        int which = below(campaign, campaign->flying_count);
        campaign_answer(campaign, campaign->flying[which].commit);
    }
}

/* ---- sampled footprints ---------------------------------------------------------------------- */

/* For each key: nothing, a get or a scan, and nothing, a put or a delete; by four temperaments. */
static void choose_footprint(struct campaign *campaign, struct campaign_txn *open) {
    enum { READER, WRITER, MIXED, SCANNER };
    int style = below(campaign, 4);
    for (int key = 0; key < campaign->setting->keys; key++) {
        unsigned bit = 1u << key;
        int read = below(campaign, 8);
        int write = below(campaign, 8);
        bool has_get = read < 2 && style != SCANNER;
        bool has_scan = style == SCANNER ? read < 5 : read == 2 && style != WRITER;
        bool has_delete = write == 0 && style != READER;
        bool has_put = (write == 1 || (write == 2 && style != SCANNER)) && style != READER;
        open->sampled_gets |= has_get ? bit : 0;
        open->sampled_scans |= has_scan ? bit : 0;
        open->sampled_deletes |= has_delete ? bit : 0;
        open->sampled_puts |= has_put ? bit : 0;
    }
}

/* Runs of scanned keys as one scan each, mostly. */
static void scan_runs(struct campaign *campaign, struct campaign_txn *open) {
    int key = 0;
    while (key < campaign->setting->keys) {
        int end = key + 1;
        if ((open->sampled_scans >> key & 1) != 0) {
            while ((open->sampled_scans >> end & 1) != 0 && chance(campaign, 80)) {
                end++;
            }
            campaign_scan(campaign, open, key, end, 0, chance(campaign, 50));
        }
        key = end;
    }
}

static void perform_footprint(struct campaign *campaign, struct campaign_txn *open) {
    scan_runs(campaign, open);
    for (int key = 0; key < campaign->setting->keys; key++) {
        if ((open->sampled_gets >> key & 1) != 0) {
            campaign_get(campaign, open, key);
        }
    }
    for (int key = 0; key < campaign->setting->keys; key++) {
        if ((open->sampled_puts >> key & 1) != 0) {
            struct rule_value value = choose_value(campaign, open, key, RULE_FAIL);
            campaign_put(campaign, open, key, &value, RULE_FAIL);
        } else if ((open->sampled_deletes >> key & 1) != 0) {
            campaign_put(campaign, open, key, NULL, RULE_FAIL);
        }
    }
}

static void begin_sampled(struct campaign *campaign) {
    int count = campaign->open_count;
    campaign_begin(campaign, RULE_SERIALIZABLE, RULE_FAIL, 0);
    if (campaign->open_count == count) {
        return;
    }
    struct campaign_txn *open = &campaign->open[count];
    choose_footprint(campaign, open);
    open->left = chance(campaign, 50);
    if (open->left == 0) {
        perform_footprint(campaign, open);
    }
}

static void step_sampled(struct campaign *campaign) {
    const struct campaign_setting *setting = campaign->setting;
    bool may_begin = campaign->begun < setting->txns && campaign->open_count < setting->open_max;
    if (may_begin && (campaign->open_count == 0 || chance(campaign, 50))) {
        begin_sampled(campaign);
        return;
    }
    struct campaign_txn *open = &campaign->open[below(campaign, campaign->open_count)];
    if (open->left > 0) {
        perform_footprint(campaign, open);
    }
    campaign_commit(campaign, open, true);
}

static bool finish_history(struct campaign *campaign, bool is_open) {
    if (is_open && campaign->failure == NULL) {
        campaign_end(campaign);
    }
    if (is_open) {
        campaign_close(campaign);
    }
    campaign->counts->histories++;
    campaign->counts->failures += campaign->failure != NULL;
    return campaign->failure == NULL;
}

/* ---- every footprint ------------------------------------------------------------------------- */

/* Orders of begins and commits in which the transactions are numbered by their begins. */
static const unsigned char every_order[CAMPAIGN_EVERY_ORDERS][6] = {
    {0, 0, 1, 1, 2, 2}, {0, 0, 1, 2, 1, 2}, {0, 0, 1, 2, 2, 1}, {0, 1, 0, 1, 2, 2},
    {0, 1, 0, 2, 1, 2}, {0, 1, 0, 2, 2, 1}, {0, 1, 1, 0, 2, 2}, {0, 1, 2, 0, 1, 2},
    {0, 1, 2, 0, 2, 1}, {0, 1, 1, 2, 0, 2}, {0, 1, 2, 1, 0, 2}, {0, 1, 2, 2, 0, 1},
    {0, 1, 1, 2, 2, 0}, {0, 1, 2, 1, 2, 0}, {0, 1, 2, 2, 1, 0}};

/* number from 1: per key 0 to 8, the read and the write. */
static void set_footprint(struct campaign_txn *open, int number) {
    for (int key = 0; key < 2; key++, number /= 9) {
        unsigned bit = 1u << key;
        open->sampled_gets |= number % 3 == 1 ? bit : 0;
        open->sampled_scans |= number % 3 == 2 ? bit : 0;
        open->sampled_puts |= number % 9 / 3 == 1 ? bit : 0;
        open->sampled_deletes |= number % 9 / 3 == 2 ? bit : 0;
    }
}

static void step_number(struct campaign *campaign, int txn, int footprint) {
    int index = campaign->open_count;
    if (txn == campaign->begun) {
        campaign_begin(campaign, RULE_SERIALIZABLE, RULE_FAIL, 0);
        set_footprint(&campaign->open[index], footprint);
        return;
    }
    while (campaign->open[index - 1].number != txn) {
        index--;
    }
    perform_footprint(campaign, &campaign->open[index - 1]);
    campaign_commit(campaign, &campaign->open[index - 1], true);
}

bool campaign_run_number(struct campaign *campaign, uint64_t number,
                         struct campaign_counts *counts) {
    static const unsigned there[CAMPAIGN_EVERY_FIRST] = {0, 3, 2};
    uint64_t left = number;
    int footprints[3];
    const unsigned char *order = every_order[left % CAMPAIGN_EVERY_ORDERS];
    left /= CAMPAIGN_EVERY_ORDERS;
    for (int txn = 0; txn < 3; txn++, left /= CAMPAIGN_EVERY_FOOTPRINTS) {
        footprints[txn] = 1 + (int)(left % CAMPAIGN_EVERY_FOOTPRINTS);
    }
    campaign->setting = &campaign_three_over_two;
    campaign->counts = counts;
    kv_random_seed(&campaign->random, number);
    bool is_open = campaign_open(campaign, number, -1, there[left]);
    for (int i = 0; is_open && campaign->failure == NULL && i < 6; i++) {
        step_number(campaign, order[i], footprints[order[i]]);
        if (chance(campaign, campaign->setting->steps)) {
            kh_db_step(campaign->db);
        }
    }
    return finish_history(campaign, is_open);
}

/* ---- a history ------------------------------------------------------------------------------- */

bool campaign_run(struct campaign *campaign, const struct campaign_setting *setting, uint64_t seed,
                  struct campaign_counts *counts) {
    campaign->setting = setting;
    campaign->counts = counts;
    kv_random_seed(&campaign->random, seed);
    int first = (int[]){60, 60, 100, 0}[below(campaign, 4)];
    bool is_flooded = setting->has_floods && chance(campaign, 30); /* it takes its time */
    campaign->flood_at = is_flooded ? 3 + below(campaign, setting->txns - 4) : 0;
    bool is_open = campaign_open(campaign, seed, first, 0);
    while (
        is_open && campaign->failure == NULL &&
        (campaign->begun < setting->txns || campaign->open_count > 0 || campaign->waiter.is_out)) {
        if (setting->is_sampled) {
            step_sampled(campaign);
        } else {
            step(campaign);
        }
        if (chance(campaign, setting->steps)) {
            kh_db_step(campaign->db);
        }
    }
    return finish_history(campaign, is_open);
}
