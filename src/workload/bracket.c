/* bracket.c - see bracket.h. */
#include "bracket.h"

kh_status bracket_begin(struct bracket *bracket, kh_db *db, const kh_txn_options *options,
                        kh_error *error) {
    *bracket = (struct bracket){NULL, NULL};
    return kh_txn_begin(db, options, &bracket->txn, error);
}

/* One of few directions, so that guards have something to refuse; or none. */
static kh_status set_meaning(kh_workspace *workspace, struct dice *dice, kh_error *error) {
    static const float nowhere[2] = {0, 0};
    static const float directions[][2] = {{1, 0}, {0, 1}, {-1, 0}, {0.6f, 0.8f}};
    uint32_t which = dice_below(dice, 6);
    if (which >= 4) {
        return KH_OK;
    }
    kh_status status = kh_workspace_set_before(workspace, (kh_floats){nowhere, 2}, error);
    if (status == KH_OK) {
        status = kh_workspace_set_after(workspace, (kh_floats){directions[which], 2}, error);
    }
    return status;
}

kh_status bracket_begin_workspace(struct bracket *bracket, kh_db *db, const kh_txn_options *options,
                                  struct dice *dice, kh_error *error) {
    kh_workspace_options wanted = KH_WORKSPACE_OPTIONS_INIT;
    *bracket = (struct bracket){NULL, NULL};
    wanted.txn = *options;
    wanted.mode = (kh_semantic_mode)(KH_SEMANTIC_KEYS + dice_below(dice, 3));
    kh_status status = kh_workspace_begin(db, &wanted, &bracket->workspace, error);
    if (status == KH_OK) {
        bracket->txn = kh_workspace_txn(bracket->workspace);
        status = set_meaning(bracket->workspace, dice, error);
    }
    return status;
}

kh_status bracket_commit(struct bracket *bracket, kh_timestamp *timestamp, kh_error *error) {
    return bracket->workspace == NULL ? kh_txn_commit(bracket->txn, timestamp, error)
                                      : kh_workspace_commit(bracket->workspace, timestamp, error);
}

void bracket_rollback(struct bracket *bracket) {
    if (bracket->workspace == NULL) {
        (void)kh_txn_rollback(bracket->txn);
    } else {
        (void)kh_workspace_rollback(bracket->workspace);
    }
}

void bracket_close(struct bracket *bracket) {
    if (bracket->workspace == NULL) {
        kh_txn_close(bracket->txn);
    } else {
        kh_workspace_close(bracket->workspace);
    }
}
