/* certify_campaign_test.c - random histories through the library, the rule and the judge: every
 * read and verdict as the rule has it, no cycle, no inversion of real time, the serial order that
 * is claimed reproduces every read; no refusal that PostgreSQL's rule would not make; and how many
 * refusals were needless.
 *
 *   test_certify_campaign [--histories N] [--sampled N] [--seed N] [--setting NAME] [--dump FILE]
 *                         [--failures N] [--exhaustive PARTS]
 *
 * histories go round the settings (or are all of one), each with the next seed; sampled ones are
 * six transactions over three keys. --exhaustive: every history of three transactions over two
 * keys, so many thousandths of them, chosen by the seed. --dump writes what was done for other
 * judges to read; --failures stops after so many. The last line is JSON. */
#include "support/campaign.h"

#include <math.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { HISTORIES = 900, SAMPLED = 2000 };
#else
enum { HISTORIES = 9000, SAMPLED = 20000 };
#endif
enum { FAILURES_SHOWN = 3 };

struct options {
    uint64_t histories, sampled, seed, failures, exhaustive;
    const char *setting;
    FILE *dump;
};

static struct campaign campaign;
static uint64_t run_count, failure_count;

static void show_failure(uint64_t seed) {
    printf("seed %llu of %s: %s\n%s", (unsigned long long)seed, campaign.setting->name,
           campaign.failure, campaign.script);
    if (!campaign.setting->is_sampled) {
        printf("replay: --sampled 0 --histories 1 --setting %s --seed %llu\n",
               campaign.setting->name, (unsigned long long)seed);
    }
}

/* setting NULL: seed is the number of one of all. */
static void run_one(const struct options *options, const struct campaign_setting *setting,
                    uint64_t seed, struct campaign_counts *counts) {
    run_count++;
    bool is_good = setting == NULL ? campaign_run_number(&campaign, seed, counts)
                                   : campaign_run(&campaign, setting, seed, counts);
    if (!is_good && ++failure_count <= FAILURES_SHOWN) {
        show_failure(seed);
        printf("failure %llu in history %llu\n", (unsigned long long)failure_count,
               (unsigned long long)run_count);
    }
    if (options->dump != NULL) {
        (void)fwrite(campaign.script, 1, campaign.script_bytes, options->dump);
    }
}

static void add(struct campaign_counts *sum, const struct campaign_counts *more) {
    uint64_t *to = (uint64_t *)(void *)sum;
    const uint64_t *from = (const uint64_t *)(const void *)more;
    for (size_t i = 0; i < sizeof *sum / sizeof *to; i++) {
        to[i] += from[i];
    }
}

static void show(const char *name, const struct campaign_counts *counts) {
    printf("%-26s %8llu histories %8llu commits %7llu in flight %7llu conflicts %7llu refusals "
           "%5llu needless %5llu beyond the rule, safe %llu/%llu, waits %llu, prepared %llu, held "
           "%llu, PostgreSQL first "
           "refuses %llu "
           "admits %llu, failures %llu\n",
           name, (unsigned long long)counts->histories, (unsigned long long)counts->commits,
           (unsigned long long)counts->in_flight, (unsigned long long)counts->conflicts,
           (unsigned long long)counts->refusals, (unsigned long long)counts->false_refusals,
           (unsigned long long)counts->beyond_rule, (unsigned long long)counts->safe,
           (unsigned long long)counts->unsafe, (unsigned long long)counts->waits,
           (unsigned long long)counts->prepared, (unsigned long long)counts->held,
           (unsigned long long)counts->peer_refuses, (unsigned long long)counts->peer_admits,
           (unsigned long long)counts->failures);
}

/* Its number; -1: every one in turn; -2: there is none of that name. */
static int find_setting(const char *name) {
    for (int i = 0; name != NULL && i < campaign_setting_count; i++) {
        if (strcmp(name, campaign_settings[i].name) == 0) {
            return i;
        }
    }
    return name == NULL ? -1 : -2;
}

static void run_settings(const struct options *options, struct campaign_counts *sum) {
    static struct campaign_counts counts[32];
    int only = find_setting(options->setting);
    for (uint64_t i = 0; i < options->histories && failure_count < options->failures; i++) {
        int which = only >= 0 ? only : (int)(i % (uint64_t)campaign_setting_count);
        run_one(options, &campaign_settings[which], options->seed + i, &counts[which]);
    }
    for (int i = 0; i < campaign_setting_count; i++) {
        if (counts[i].histories > 0) {
            show(campaign_settings[i].name, &counts[i]);
        }
        add(sum, &counts[i]);
    }
}

static bool is_in_part(const struct options *options, uint64_t number) {
    uint64_t mixed = (number + options->seed * 1000003) * 0x9e3779b97f4a7c15u;
    return (mixed >> 33) % 1000 < options->exhaustive;
}

static void run_every(const struct options *options, struct campaign_counts *counts) {
    for (uint64_t i = 0; i < CAMPAIGN_EVERY && failure_count < options->failures; i++) {
        if (is_in_part(options, i)) {
            run_one(options, NULL, i, counts);
        }
    }
    show(campaign_three_over_two.name, counts);
}

/* At most 0.6 % of the refusals: three standard deviations are allowed to a sample. */
static bool is_rate_kept(const struct campaign_counts *counts) {
    double bound = 0.006 * (double)counts->refusals;
    return (double)counts->false_refusals <= bound + 3 * sqrt(bound) + 1;
}

static bool read_options(struct options *options, int argc, char **argv) {
    for (int i = 1; i + 1 < argc; i += 2) {
        const char *name = argv[i];
        const char *value = argv[i + 1];
        if (strcmp(name, "--histories") == 0) {
            options->histories = strtoull(value, NULL, 10);
        } else if (strcmp(name, "--sampled") == 0) {
            options->sampled = strtoull(value, NULL, 10);
        } else if (strcmp(name, "--seed") == 0) {
            options->seed = strtoull(value, NULL, 10);
        } else if (strcmp(name, "--exhaustive") == 0) {
            options->exhaustive = strtoull(value, NULL, 10);
        } else if (strcmp(name, "--failures") == 0) {
            options->failures = strtoull(value, NULL, 10);
        } else if (strcmp(name, "--setting") == 0) {
            options->setting = value;
        } else if (strcmp(name, "--dump") == 0) {
            options->dump = strcmp(value, "-") == 0 ? stdout : fopen(value, "w");
        } else {
            return false;
        }
    }
    return argc % 2 == 1 && find_setting(options->setting) != -2;
}

static void print_proof(const struct options *options, const struct campaign_counts *all,
                        const struct campaign_counts *sampled, const struct campaign_counts *every,
                        uint64_t failures) {
    printf("{\"proof\":\"certification\",\"seed\":%llu,\"histories\":%llu,\"commits\":%llu,"
           "\"in_flight\":%llu,\"conflicts\":%llu,\"refusals\":%llu,\"reads\":%llu,\"scans\":%llu,"
           "\"sampled\":%llu,\"sampled_refusals\":%llu,\"needless_by_graph\":%llu,"
           "\"needless\":%llu,\"needless_per_million\":%llu,\"exhaustive\":%llu,"
           "\"exhaustive_refusals\":%llu,\"exhaustive_needless\":%llu,\"judged_by_peer_rule\":%llu,"
           "\"peer_admits_first\":%llu,\"peer_refuses_first\":%llu,\"cycles\":0,"
           "\"failures\":%llu}\n",
           (unsigned long long)options->seed, (unsigned long long)all->histories,
           (unsigned long long)all->commits, (unsigned long long)all->in_flight,
           (unsigned long long)all->conflicts, (unsigned long long)all->refusals,
           (unsigned long long)all->reads, (unsigned long long)all->scans,
           (unsigned long long)sampled->histories, (unsigned long long)sampled->refusals,
           (unsigned long long)sampled->false_by_graph, (unsigned long long)sampled->false_refusals,
           (unsigned long long)(sampled->refusals == 0
                                    ? 0
                                    : sampled->false_refusals * 1000000 / sampled->refusals),
           (unsigned long long)every->histories, (unsigned long long)every->refusals,
           (unsigned long long)every->false_refusals, (unsigned long long)all->judged_by_peer,
           (unsigned long long)all->peer_admits, (unsigned long long)all->peer_refuses,
           (unsigned long long)failures);
}

int main(int argc, char **argv) {
    struct options options = {HISTORIES, SAMPLED, 1, UINT64_MAX, 1, NULL, NULL};
    struct campaign_counts all = {0};
    struct campaign_counts sampled = {0};
    struct campaign_counts every = {0};
    if (!read_options(&options, argc, argv)) {
        (void)fprintf(stderr, "usage: see the head of certify_campaign_test.c\n");
        return 2;
    }
    run_settings(&options, &all);
    for (uint64_t i = 0; i < options.sampled && failure_count < options.failures; i++) {
        run_one(&options, &campaign_six_over_three, options.seed + i, &sampled);
    }
    show(campaign_six_over_three.name, &sampled);
    run_every(&options, &every);
    add(&all, &sampled);
    add(&all, &every);
    uint64_t failures = all.failures;
    if (!is_rate_kept(&sampled) || every.false_refusals > 0) {
        printf("too many needless refusals\n");
        failures++;
    }
    print_proof(&options, &all, &sampled, &every, failures);
    return failures > 0;
}
