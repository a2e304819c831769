/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/admission.h"

/* Neither a term nor an epoch comes to this; a higher one would leave no room for the next. */
#define ADMISSION_NUMBER_MAX (UINT64_MAX / 4)

bool muster_admission_say(muster_coordinator *coordinator, muster_hosted_job *job,
                          const muster_core_event *event, const muster_core_action *action)
{
    muster_peer *peer = muster_peers_find(coordinator->peers, action->connection);
    if (!muster_gate_asks_for_keys(coordinator->gate) || peer == NULL)
        return true;
    bool welcomes = action->message.type == MUSTER_MESSAGE_WELCOME ||
                    action->message.type == MUSTER_MESSAGE_LAUNCHER_WELCOME;
    if (welcomes && event->message != NULL && event->connection == action->connection)
        muster_claims_hear(&job->claims, &peer->key, event->message);
    if (muster_claims_say(&job->claims, &peer->key, &action->message))
        return true;
    coordinator->counters.stolen_slots++;
    muster_peers_lose(coordinator->peers, action->connection);
    return false;
}

/* Whether its key is allowed, still and in this job. */
bool muster_admission_key(muster_coordinator *coordinator, muster_peer *peer,
                          const muster_message *message)
{
    const muster_gate *gate = coordinator->gate;
    if (message->term > ADMISSION_NUMBER_MAX || message->epoch > ADMISSION_NUMBER_MAX) {
        coordinator->counters.malformed++;
        return false;
    }
    if (!muster_gate_asks_for_keys(gate))
        return true;
    if (peer->allowed_version != muster_gate_version(gate)) {
        peer->allowed = muster_gate_find(gate, &peer->key);
        peer->allowed_version = muster_gate_version(gate);
    }
    if (peer->allowed == NULL) {
        coordinator->counters.unknown_keys++;
        muster_serving_refuse(
            coordinator, peer->connection, message, MUSTER_ERR_FOREIGN,
            "this key is not allowed any more: it was taken out of the coordinator's "
            "list");
        return false;
    }
    if (muster_allowed_job(peer->allowed, message->job))
        return true;
    coordinator->counters.foreign_jobs++;
    muster_serving_refuse(
        coordinator, peer->connection, message, MUSTER_ERR_FOREIGN,
        "this key is not allowed in this job: see jobs= in the coordinator's list");
    return false;
}

/* A name is used again, and a rank of the job before may come back late. Terms tell: this process has handed out all
 * from its own on, each to one job. Where it has the journal of that job's successor only, the core tells. */
bool muster_admission_epoch(muster_coordinator *coordinator, const muster_peer *peer,
                            const muster_message *message)
{
    if (message->type != MUSTER_MESSAGE_JOIN || !message->u.join.rejoin || message->epoch == 0)
        return true;
    const uint64_t term = message->u.join.epoch_term;
    if (term < coordinator->term || term > coordinator->journal.content.term)
        return true;
    const muster_hosted_job *job = muster_jobs_find(&coordinator->jobs, message->job);
    if (job != NULL && (job->ended || term >= muster_core_term(job->core)))
        return true;
    coordinator->counters.foreign_jobs++;
    muster_serving_refuse(coordinator, peer->connection, message, MUSTER_ERR_FENCED,
                          "this process was in an earlier job of this name, which is over");
    return false;
}

/* A connection is one process: else one could fill the coordinator's memory with spares. */
static bool admission_self(muster_coordinator *coordinator, muster_peer *peer,
                           const muster_message *message)
{
    if (message->type != MUSTER_MESSAGE_JOIN || message->slot != MUSTER_SLOT_SPARE_WIRE)
        return true;
    if (!peer->spare) {
        peer->spare = true;
        peer->spare_process_id = message->u.join.process_id;
        peer->spare_host = message->u.join.host;
    }
    if (peer->spare_process_id == message->u.join.process_id &&
        peer->spare_host == message->u.join.host)
        return true;
    coordinator->counters.stolen_slots++;
    muster_serving_refuse(coordinator, peer->connection, message, MUSTER_ERR_INVALID_ARGUMENT,
                          "this connection joined as another process: each spare has its own");
    return false;
}

/* Whether it may speak for the slot, or for the processes, that it speaks for. */
static bool admission_claim(muster_coordinator *coordinator, const muster_hosted_job *job,
                            const muster_peer *peer, const muster_message *message)
{
    if (!muster_gate_asks_for_keys(coordinator->gate) ||
        muster_claims_allow(&job->claims, &peer->key, message))
        return true;
    bool of_a_process =
        message->type == MUSTER_MESSAGE_STARTED || message->type == MUSTER_MESSAGE_EXITED;
    if (of_a_process && !peer->launcher) {
        /* It may be the right one, of before a restart: it should say who it is. */
        muster_serving_answer(coordinator, peer->connection, message, MUSTER_MESSAGE_REJOIN);
        return false;
    }
    coordinator->counters.stolen_slots++;
    if (message->type == MUSTER_MESSAGE_JOIN || message->type == MUSTER_MESSAGE_LAUNCHER_JOIN)
        muster_serving_refuse(
            coordinator, peer->connection, message, MUSTER_ERR_SLOT_TAKEN,
            "that slot is held by another key; use the key with which it was joined, or "
            "another slot");
    return false;
}

/* A higher term ends a job here, and a higher epoch can take it from its members: of a job that this coordinator knows,
 * who holds nothing in it has nothing to tell. Not refused: it may be known later, and says it again. */
static bool admission_news(muster_coordinator *coordinator, const muster_hosted_job *job,
                           const muster_peer *peer, const muster_message *message)
{
    const uint64_t epoch = muster_core_epoch(job->core);
    bool joins =
        message->type == MUSTER_MESSAGE_JOIN || message->type == MUSTER_MESSAGE_LAUNCHER_JOIN;
    bool is_news = message->term > muster_core_term(job->core) || (joins && message->epoch > epoch);
    bool nobody_holds = job->claims.slot_count == 0 && job->claims.launcher_count == 0;
    if (!is_news || epoch == 0 || !muster_gate_asks_for_keys(coordinator->gate) || nobody_holds ||
        muster_claims_has(&job->claims, &peer->key))
        return true;
    coordinator->counters.stolen_slots++;
    return false;
}

bool muster_admission_hear(muster_coordinator *coordinator, muster_hosted_job *job,
                           muster_peer *peer, const muster_message *message)
{
    if (!admission_news(coordinator, job, peer, message) ||
        !admission_claim(coordinator, job, peer, message) ||
        !admission_self(coordinator, peer, message))
        return false;
    if (message->type == MUSTER_MESSAGE_LAUNCHER_LEAVE)
        muster_claims_hear(&job->claims, &peer->key, message);
    return true;
}
