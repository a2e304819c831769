/* SPDX-License-Identifier: Apache-2.0 */
/* A control plane in one process, one thread and no time: the real core inside a simulated coordinator,
 * the real protocol of the agents, the real word of the launchers, over a fake clock, a fake network and
 * a fake host and device plane. Everything that happens follows from the seed.
 *
 *   world.c        the seed's job, the clock, the loop
 *   network.c      connections to the coordinator: bytes that are late, lost, doubled, cut off
 *   coordinator.c  a core, its journal, crashes between any two of its actions
 *   launcher.c     processes started, killed, seen to exit
 *   rank.c         a rank's process: its agent, its working thread's calls
 *   plane.c        rounds, bytes and writes between ranks
 *   faults.c       what goes wrong, and when
 *   witness.c      what must never happen
 *
 * Who does something next is found by asking everybody when: there are few, and a list would only have
 * to be kept right. */
#ifndef MUSTER_TESTS_SIMULATION_WORLD_H
#define MUSTER_TESTS_SIMULATION_WORLD_H

#include <stdio.h>

#include "agent/protocol.h"
#include "chance.h"
#include "coordinator/journal_format.h"
#include "core/core.h"
#include "launcher/control.h"
#include "scope/step_store.h"

#define SIM_MS ((int64_t)1000000)
#define SIM_NEVER INT64_MAX
#define SIM_JOB_NAME "simulated"
#define SIM_HOSTS_MAX 3
#define SIM_SLOTS_MAX 8
#define SIM_PROCESSES_MAX 512
#define SIM_LAUNCHERS_MAX 6
#define SIM_COORDINATORS_MAX 2
#define SIM_FAULTS_MAX 16
#define SIM_EPOCHS_MAX 512

typedef struct sim_world sim_world;

/* ---- network ---- */

typedef struct sim_packet {
    struct sim_packet *next;
    int64_t deliver_ns;
    void *bytes;
    size_t byte_count;
} sim_packet;

/* One end of a connection to a coordinator: an agent's or a launcher's link. */
typedef struct sim_client {
    sim_world *world;
    char name[24];
    int host;
    bool alive;
    bool launcher;
    uint64_t connection; /* 0: none */
    int coordinator;
    uint32_t coordinator_start;
    int64_t connect_ns; /* the next try */
    int connections;    /* made since the last question */
    sim_packet *out;    /* by time of delivery */
    sim_packet *in;
    int64_t out_last_ns, in_last_ns;
    struct sim_client *next;
} sim_client;

/* The coordinator learns that a connection was lost. */
typedef struct sim_loss {
    uint64_t connection;
    int host;
    int coordinator;
    uint32_t coordinator_start;
    int64_t at_ns;
    int64_t give_up_ns; /* told then even over a cut: keepalives were not answered */
} sim_loss;

typedef struct sim_network {
    int64_t delay_ns;                 /* at most */
    int64_t cut_to_ns[SIM_HOSTS_MAX]; /* until then nothing of this host reaches a coordinator */
    int64_t cut_from_ns[SIM_HOSTS_MAX];
    int64_t cut_peers_ns[SIM_HOSTS_MAX]; /* nor ranks of other hosts */
    int64_t lossy_until_ns; /* until then messages are dropped, doubled and overtake each other */
    int drop_percent, double_percent;
    int64_t lossy_delay_ns;
    int service; /* the coordinator that new connections reach */
    uint64_t last_connection;
    sim_client *clients;
    sim_loss losses[1024];
    int loss_count;
} sim_network;

void sim_network_add(sim_world *world, sim_client *client);
/* The process ended: what it sent is still on its way, its end of the connection closes. */
void sim_network_close(sim_world *world, sim_client *client);
/* What is on its way is lost with the connection. */
void sim_network_reset(sim_world *world, sim_client *client);
void sim_network_coordinator_died(sim_world *world, int coordinator);
void sim_network_clean_up(sim_world *world);
/* As muster_link_send. */
muster_status sim_network_send(sim_client *client, const muster_message *message);
void sim_network_send_back(sim_world *world, int coordinator, uint64_t connection,
                           const muster_message *message);
/* False: nothing there yet. */
bool sim_network_receive(sim_client *client, muster_message *message);
int sim_network_connections(sim_client *client);
int64_t sim_network_client_due(const sim_client *client);
/* Tries to connect where that is due. */
void sim_network_client_turn(sim_client *client);
int64_t sim_network_coordinator_due(sim_world *world, int coordinator);
sim_client *sim_network_find(sim_world *world, int coordinator, uint64_t connection);
/* The next message for a coordinator; NULL: none. */
sim_client *sim_network_take(sim_world *world, int coordinator, muster_message *message);
/* The next lost connection; 0: none. */
uint64_t sim_network_take_loss(sim_world *world, int coordinator);

/* ---- coordinator ---- */

typedef struct sim_coordinator {
    int index;
    bool up;
    bool stopped;
    uint32_t start; /* counts */
    uint64_t term;
    bool term_taken;
    bool told; /* in this start: by somebody who knows of an epoch, or by its journal */
    muster_core *core;
    bool ended;
    int64_t next_ns;
    void *journal; /* what is on the disk; NULL: nothing */
    size_t journal_bytes;
    muster_journal_position position;
    muster_core_actions actions;
    int crash_in_actions;     /* dies before that many more actions; 0: not planned */
    int crash_after_decision; /* so many actions after a verdict or an agreement; 0: not planned */
    int64_t restart_ns;
    int64_t wake_ns;
    muster_note *notes; /* that no launcher was there to hear */
    int note_count;
} sim_coordinator;

void sim_coordinator_start(sim_world *world, sim_coordinator *coordinator);
void sim_coordinator_crash(sim_world *world, sim_coordinator *coordinator);
void sim_coordinator_lose_journal(sim_coordinator *coordinator);
int64_t sim_coordinator_due(sim_world *world, const sim_coordinator *coordinator);
void sim_coordinator_turn(sim_world *world, sim_coordinator *coordinator);
void sim_coordinator_clean_up(sim_coordinator *coordinator);

/* ---- ranks ---- */

typedef enum sim_rank_state {
    SIM_RANK_STARTING,
    SIM_RANK_JOINING,
    SIM_RANK_AWAIT_AGREED,
    SIM_RANK_CONNECTING,
    SIM_RANK_AWAIT_ESTABLISHED,
    SIM_RANK_COMPUTING,
    SIM_RANK_ROUND,
    SIM_RANK_MOVING,
    SIM_RANK_RELEASING,
    SIM_RANK_FAILED, /* its communicator failed: it is about to call rebuild */
    SIM_RANK_LEAVING,
    SIM_RANK_EXITED
} sim_rank_state;

typedef enum sim_call { SIM_CALL_BATCH, SIM_CALL_STAGE, SIM_CALL_COMMIT, SIM_CALL_ODD } sim_call;

typedef enum sim_plane_kind {
    SIM_PLANE_HELLO, /* a member is here, with this memory */
    SIM_PLANE_RECORD,
    SIM_PLANE_BYTES,
    SIM_PLANE_DYING /* a robust futex fired */
} sim_plane_kind;

typedef struct sim_plane_message {
    struct sim_plane_message *next;
    sim_plane_kind kind;
    int64_t deliver_ns;
    int from; /* process */
    int from_host;
    uint64_t epoch;
    uint64_t members_hash;
    uint64_t sequence;
    sim_call call;
    uint64_t step;
    uint64_t value; /* of the state that is mirrored */
    uint32_t memory;
    int32_t dead_slot;
    uint32_t dead_incarnation;
} sim_plane_message;

typedef struct sim_process {
    int index;
    int32_t process_id;
    int host;
    int launcher; /* -1: none */
    int32_t slot; /* as its launcher knows it; MUSTER_SLOT_SPARE_WIRE: a spare */
    uint32_t incarnation;
    bool spare;   /* was started as one */
    bool by_hand; /* nobody starts another one when it ends */
    bool alive;
    bool stopped;
    int64_t stopped_ns, wake_ns;
    int64_t started_ns;
    sim_client client;
    muster_protocol protocol;
    muster_step_store *store;
    int64_t agent_due_ns;
    bool connected_once;

    /* Its launcher's view. */
    int32_t wait_status;
    int64_t exit_seen_ns; /* SIM_NEVER: lives */
    bool exit_handled;
    bool joined;
    uint64_t since_epoch; /* the last that it had heard of when it was started */

    /* The working thread. */
    sim_rank_state state;
    int64_t until_ns;    /* of the state */
    int64_t deadline_ns; /* of the call */
    int64_t call_began_ns;
    int64_t slept_ns; /* stopped since the call began */
    bool accused;
    bool marked; /* as waiting */
    uint64_t after_epoch;
    uint64_t epoch; /* that it works in */
    int32_t member_count, own_rank;
    muster_member members[SIM_SLOTS_MAX];
    uint64_t members_hash;
    muster_restore restore;
    uint64_t sequence;
    sim_call call;
    uint64_t step;
    bool repeat_restored; /* the first commit of an epoch is the restored step again */
    muster_step_generation *generation;
    int64_t write_ns; /* the last byte of this call's batch; 0: written */
    int64_t release_ns;
    muster_status outcome; /* of the process's last call */
    bool finished;         /* left after the last step */
    int leave_coordinator; /* to which its last LEAVE was sent, over a connection that stood */
    uint64_t leave_connection;
    int64_t hang_ns; /* fault: computes for so long */
    bool odd_call;   /* fault: enters a call that nobody else does */
    int exit_code;

    /* The plane. */
    uint32_t memory; /* abandoned memory counts up */
    sim_plane_message *inbox;
    bool hello[SIM_SLOTS_MAX];
    uint32_t peer_memory[SIM_SLOTS_MAX];
    int peer_process[SIM_SLOTS_MAX];
    uint64_t record_sequence[SIM_SLOTS_MAX];
    sim_call record_call[SIM_SLOTS_MAX];
    uint64_t bytes_sequence[SIM_SLOTS_MAX];
    uint64_t bytes_value[SIM_SLOTS_MAX];

    /* For the witness. */
    muster_holding quiet_holdings[4];
    int32_t quiet_holding_count;
    uint64_t quiet_epoch;
    bool hurt; /* it was stopped, hung, or cut off */
    bool verdict_noted;
    bool fenced;
    uint64_t fenced_epoch;
} sim_process;

sim_process *sim_rank_start(sim_world *world, int host, int launcher, int32_t slot,
                            uint32_t incarnation);
/* wait_status as wait(2) gives it. */
void sim_rank_die(sim_world *world, sim_process *process, int32_t wait_status);
void sim_rank_stop(sim_world *world, sim_process *process, int64_t wake_ns);
int64_t sim_rank_due(const sim_process *process);
void sim_rank_turn(sim_world *world, sim_process *process);
void sim_rank_clean_up(sim_process *process);
const char *sim_rank_state_text(const sim_process *process);

/* ---- plane ---- */

void sim_plane_enter(sim_world *world, sim_process *process);
bool sim_plane_connected(const sim_process *process);
void sim_plane_post(sim_world *world, sim_process *process);
bool sim_plane_round_complete(const sim_process *process);
/* All ranks' records name one call. */
bool sim_plane_round_agrees(const sim_process *process);
/* The last byte of this rank's part: into the memory of its peers. */
void sim_plane_write(sim_world *world, sim_process *process);
bool sim_plane_bytes_complete(const sim_process *process);
void sim_plane_dying(sim_world *world, const sim_process *dead);
int64_t sim_plane_due(const sim_process *process);
void sim_plane_turn(sim_world *world, sim_process *process);
void sim_plane_clean_up(sim_process *process);

/* ---- launchers ---- */

typedef struct sim_launcher {
    int index;
    int32_t process_id;
    int host;
    bool alive;
    bool stopped;
    int64_t wake_ns;
    sim_client client;
    muster_control control;
    int32_t first_slot, slot_count, spare_count;
    uint32_t spares_started;
    uint64_t epoch; /* the last that was agreed, by the notes */
    bool began;
    bool ending;
    int64_t kill_ns;
    int64_t undecided_ns;
    int64_t control_due_ns;
} sim_launcher;

sim_launcher *sim_launcher_start(sim_world *world, int host, int32_t first_slot, int32_t slot_count,
                                 int32_t spare_count);
void sim_launcher_die(sim_world *world, sim_launcher *launcher);
int64_t sim_launcher_due(sim_world *world, const sim_launcher *launcher);
void sim_launcher_turn(sim_world *world, sim_launcher *launcher);

/* ---- faults ---- */

typedef struct sim_fault {
    int64_t at_ns;
    int kind;
} sim_fault;

void sim_faults_plan(sim_world *world);
void sim_faults_turn(sim_world *world);
/* The end of a job is short, and has faults of its own. */
void sim_faults_leaving(sim_world *world);
void sim_faults_ambush(sim_world *world, sim_process *process);
int64_t sim_faults_due(const sim_world *world);

/* ---- witness ---- */

typedef struct sim_epoch {
    uint64_t epoch;
    uint64_t term;
    int32_t member_count;
    muster_member members[SIM_SLOTS_MAX];
    uint64_t members_hash;
    muster_restore restore;
    uint32_t kind;
    uint64_t held_epoch, held_step; /* the newest step whose states all survived */
    bool heard;                     /* by a rank */
} sim_epoch;

typedef struct sim_witness {
    sim_epoch epochs[SIM_EPOCHS_MAX];
    int epoch_count;
    uint64_t last_epoch;
    bool has_commit; /* the newest step that some rank saw committed and that the job must keep */
    uint64_t commit_epoch, commit_step;
    bool said_lost; /* an epoch began with a state that was lost */
    uint64_t commits;
    uint64_t verdicts, false_verdicts, rebuilds, grown;
    uint64_t told_all, told_changes; /* an epoch's members, as a list or as a difference */
    bool gave_up;
    bool calls_differ;
    char end_text[MUSTER_NOTE_TEXT_BYTES];
} sim_witness;

uint64_t sim_witness_hash(const muster_member *members, int32_t member_count);
/* The last membership that some rank has entered; NULL: none yet. */
const sim_epoch *sim_witness_last(sim_world *world);
bool sim_witness_has(const sim_epoch *epoch, int32_t slot);
/* A coordinator says AGREED. */
void sim_witness_agreed(sim_world *world, const sim_coordinator *coordinator,
                        const muster_message *agreed);
void sim_witness_note(sim_world *world, const sim_coordinator *coordinator,
                      const muster_note *note);
/* An action that is no note was done, or its coordinator died instead. */
void sim_witness_given(sim_world *world, bool given);
/* A coordinator came back without a journal. */
void sim_witness_forgotten(sim_world *world);
/* A rank begins to work in an epoch. */
void sim_witness_entered(sim_world *world, const sim_process *process);
void sim_witness_committed(sim_world *world, const sim_process *process, uint64_t step);
void sim_witness_called(sim_world *world, const sim_process *process);
/* After every step of the world. */
void sim_witness_look(sim_world *world);
/* When it is over. */
void sim_witness_end(sim_world *world);

/* ---- world ---- */

typedef struct sim_outcome {
    bool failed;
    char failure[400];
    bool finished; /* all ranks that were left went to the last step */
    bool gave_up;
    uint64_t turns, commits, rebuilds, verdicts, grown, told_all, told_changes;
} sim_outcome;

struct sim_world {
    uint64_t seed;
    sim_chance chance;
    bool verbose;
    int64_t now_ns;
    uint64_t job;
    muster_policy policy;
    int host_count;
    int32_t spare_count;
    bool launched; /* by launchers; else ranks come by themselves, as pods do */
    bool journaled;
    int device_percent; /* of calls that go through the device plane: slower to release */
    int64_t step_ns;
    int64_t wall_ms;     /* the wall clock at now 0 */
    uint64_t final_step; /* ranks leave after it */
    bool last_step_known;
    int64_t quiet_ns;  /* faults have stopped */
    int64_t healed_ns; /* when they had */
    int64_t form_ns;   /* by then the job must have ended, well or by a rule */
    bool journal_lost; /* at any time */
    bool harsh;        /* something else than ranks and coordinators was hurt */
    bool left_faulted;
    sim_rank_state ambush; /* STARTING: none */
    bool next_job;         /* the job has ended, and somebody began another one */

    sim_network network;
    sim_coordinator coordinators[SIM_COORDINATORS_MAX];
    sim_launcher launchers[SIM_LAUNCHERS_MAX];
    int launcher_count;
    sim_process *processes[SIM_PROCESSES_MAX];
    int process_count;
    sim_process *living[SIM_PROCESSES_MAX];
    int living_count;
    sim_fault faults[SIM_FAULTS_MAX];
    int fault_count, fault_next;
    int64_t pod_ns[SIM_SLOTS_MAX]; /* when a pod is made anew for this slot; SIM_NEVER */
    sim_witness witness;
    sim_outcome outcome;
    uint64_t turns;
};

void sim_world_run(uint64_t seed, bool verbose, sim_outcome *outcome);

/* Somebody left after the last step, or the job was given up. */
bool sim_world_ended(const sim_world *world);
/* The coordinator heard of a higher term than its own, and is silent by rule: its journal was lost, and
 * its clock went back. */
bool sim_world_silent(const sim_world *world);
/* The first failure counts. */
void sim_fail(sim_world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));
void sim_log(const sim_world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
