/* SPDX-License-Identifier: Apache-2.0 */
/* The rebuild and fencing protocol: three slots, one coordinator with a journal, their launcher, and
 * the memory that ranks write into. README.md says what each name is in recovery/core, what was left
 * out, and what is claimed; check.py runs it.
 *
 * Faults: DEATHS processes are killed, or stopped (at most one; it may wake up at any later moment),
 * CRASHES of the coordinator, between two turns or after a turn's messages and before its journal.
 * The first fault of a process hits slot 0: the ring of slots has no beginning, so the others would
 * only repeat it.
 *
 * -DREPLACE: a lost slot gets a fresh process; else the job shrinks. -DMEMBERSHIP_ONLY: ranks do nothing in
 * an epoch that stands. -DMUTATE_x: a rule is removed.
 *
 * Inside a d_step the variables after "scratch" carry no meaning from one step to the next. */
#ifndef DEATHS
#define DEATHS 2
#endif
#ifndef CRASHES
#define CRASHES 1
#endif

#define SLOTS 3
#ifdef REPLACE
#define PROCESSES (SLOTS + DEATHS)
#else
#define PROCESSES SLOTS
#endif
#define EPOCHS 8 /* numbers 1 to 7 fit a message */
#define BIT(i) (1 << (i))
#define HAS(mask, i) (((mask) >> (i)) & 1)

/* Seats that no process fills. */
#define RETIRED 6
#define OPEN 7
#define NONE 7

/* A message is a byte: its type, an epoch, and one flag. */
#define MESSAGE(type, epoch, flag) (((type) << 4) | ((epoch) << 1) | (flag))
#define TYPE(message) ((message) >> 4)
#define EPOCH(message) (((message) >> 1) & 7)
#define FLAG(message) ((message) & 1)
/* to the coordinator */
#define JOIN 1 /* flag: its epoch is revoked */
#define QUIET 2
#define CONNECTED 3
/* from the coordinator */
#define WELCOME 4
#define REFUSED 5
#define REVOKE 6
#define AGREED 7 /* flag: abandon memory */
#define ESTABLISHED 8
#define REJOIN 9

#define UP_QUEUE 5
#define DOWN_QUEUE 6
chan up[PROCESSES] = [UP_QUEUE] of { byte };
chan down[2 * PROCESSES] = [DOWN_QUEUE] of { byte }; /* one a coordinator's term and process */

/* ---- processes ---- */

/* 0: not started yet */
#define ALIVE 1
#define DEAD 2

/* Where the working thread is. */
#define AWAIT 0      /* waits for an AGREED of a later epoch; quiet */
#define CONNECT 1    /* waits for the other members on the host plane */
#define ESTABLISH 2  /* waits for ESTABLISHED */
#define STAGE 3      /* posted its record of the stage round, waits for the others' */
#define COPY 4       /* writes its state into its mirror's memory, whatever it hears meanwhile */
#define RECEIVE 5    /* waits for the state it mirrors */
#define COMMIT 6     /* posted its record of the commit round */
#define WORKING 7    /* committed; computes */

typedef process_t {
    byte life;
    byte phase;
    byte epoch;      /* the working thread's */
    byte agreed;     /* agent: epoch of the newest AGREED */
    bit abandon;     /* agent: as that said */
    byte revoked;    /* agent: highest epoch known to be revoked */
    byte established;
    bit out;         /* agent: stood down, for good */
    byte joining;    /* 0: no; 1: a JOIN is due; 2: it waits for its answer */
    bit later_term;  /* heard the second coordinator */
    byte quiet;      /* outbox: epoch of the QUIET; 0: none */
    byte connected;  /* outbox: epoch of the CONNECTED; 0: none */
    bit unmapped;    /* its neighbour has abandoned the memory that this one writes into */
    byte written;    /* the memory others write into: epoch of the last write */
    /* step store: two generations, of the epoch in which they were staged */
    byte first_epoch, second_epoch; /* 0: empty */
    bit first_committed, second_committed;
};
process_t process[PROCESSES];
byte slot_of[PROCESSES];

/* ---- host plane: one segment an epoch; a mask of processes each ---- */
byte arrived[EPOCHS];
byte staging[EPOCHS];
byte copied[EPOCHS];
byte committing[EPOCHS];

/* ---- coordinator ---- */
#define RUNNING 0
#define CONNECTING 1
#define REVOKED 2
byte state = RUNNING;
byte epoch = 1;
byte seat[SLOTS];     /* the process that fills it, OPEN or RETIRED */
byte starting[SLOTS]; /* the process asked of the launcher; NONE */
byte next_process = SLOTS;
byte members;   /* slots */
byte fenced;    /* processes */
byte deaths;    /* processes, since the last established epoch */
byte gone;      /* of those */
byte abandoned; /* of those */
/* not in the journal */
bit term;
byte connection = 7; /* slots whose connection is known */
byte expected;       /* slots known from the journal only */
byte quiet;          /* slots */
byte connected;      /* slots */
hidden byte revoke_due;
hidden byte persisted; /* this turn's journal comes before its messages */

byte faults;
bit stop_used;
byte crashes;

/* ---- for the claims only ---- */
typedef epoch_t {
    byte filled[SLOTS]; /* process by slot; OPEN: none */
    bit used;
    byte restored; /* epoch whose step it goes on from; 0: none */
    bit lost;      /* a slot and its mirror died: the step before may be gone */
};
epoch_t history[EPOCHS];
byte committed_epoch; /* the newest in which anybody saw its commit */
byte said_dead;       /* processes that somebody was told are lost */

/* scratch */
hidden byte s, i, m, c, r, held, survivors, message, neighbour;
hidden byte ready, saw, welcomed;
hidden byte saved_state, saved_epoch, saved_members, saved_fenced, saved_deaths, saved_gone;
hidden byte saved_abandoned, saved_next, saved_seat[SLOTS], saved_starting[SLOTS];

#define LIVE(p) (process[p].life == ALIVE)
#define REACHABLE(p) (process[p].life == ALIVE && !process[p].out)
#define FILLED(slot) (seat[slot] < PROCESSES)

/* next in the ring of an epoch's members; the same slot where it is alone */
inline ring_next(of_epoch, from, to)
{
    to = (from + 1) % SLOTS;
    do
    :: history[of_epoch].filled[to] == OPEN -> to = (to + 1) % SLOTS
    :: else -> break
    od
}

inline ring_before(of_epoch, from, to)
{
    to = (from + SLOTS - 1) % SLOTS;
    do
    :: history[of_epoch].filled[to] == OPEN -> to = (to + SLOTS - 1) % SLOTS
    :: else -> break
    od
}

inline forget(queue)
{
    do
    :: nempty(queue) -> queue?_
    :: empty(queue) -> break
    od;
    skip /* a d_step must not end with a jump */
}

inline forget_store(p)
{
    process[p].first_epoch = 0;
    process[p].second_epoch = 0;
    process[p].first_committed = 0;
    process[p].second_committed = 0
}

/* What a process knew and matters to nobody any more: fewer states that mean the same. */
inline forget_agent(p)
{
    process[p].agreed = 0;
    process[p].abandon = 0;
    process[p].revoked = 0;
    process[p].established = 0;
    process[p].joining = 0;
    process[p].later_term = 0;
    process[p].quiet = 0;
    process[p].connected = 0;
    forget(down[p]);
    forget(down[PROCESSES + p])
}

#if !defined(REPLACE) || DEATHS == 0
#define ANY_IN(e) (process[0].epoch == e || process[1].epoch == e || process[2].epoch == e)
#elif DEATHS == 1
#define ANY_IN(e) \
    (process[0].epoch == e || process[1].epoch == e || process[2].epoch == e || process[3].epoch == e)
#else
#define ANY_IN(e) \
    (process[0].epoch == e || process[1].epoch == e || process[2].epoch == e || \
     process[3].epoch == e || process[4].epoch == e)
#endif

/* Its segment goes with the last of those that are in an epoch. */
inline leave_epoch(p)
{
    m = process[p].epoch;
    process[p].epoch = 0;
    if
    :: m > 0 && !ANY_IN(m) ->
        arrived[m] = 0;
        staging[m] = 0;
        copied[m] = 0;
        committing[m] = 0;
        history[m].lost = 0
    :: else -> skip
    fi
}

inline forget_work(p)
{
    process[p].phase = AWAIT;
    leave_epoch(p);
    process[p].unmapped = 0;
    process[p].written = 0;
    if
    :: seat[slot_of[p]] != p -> forget_store(p)
    :: else -> skip /* the coordinator goes by what it said it holds */
    fi
}

inline die(p)
{
    process[p].life = DEAD;
    process[p].out = 0;
    forget_agent(p);
    forget_work(p)
}

/* ---- agents: what they say ---- */

inline say(p, what)
{
    if
    :: up[p]??[eval(what)] -> skip /* twice is once */
    :: else -> assert(nfull(up[p])); up[p]!what
    fi
}

inline say_join(p)
{
    say(p, MESSAGE(JOIN, process[p].agreed, (process[p].agreed > 0 && process[p].revoked >= process[p].agreed)));
    process[p].joining = 2
}

/* A message that may be lost with a connection stays in the outbox, and goes out (again) after each
 * WELCOME. */
inline say_quiet(p)
{
    if
    :: process[p].joining == 0 && process[p].quiet > 0 -> say(p, MESSAGE(QUIET, process[p].quiet, 0))
    :: else -> skip
    fi
}

inline say_connected(p)
{
    if
    :: process[p].joining == 0 && process[p].connected > 0 -> say(p, MESSAGE(CONNECTED, process[p].connected, 0))
    :: else -> skip
    fi
}

/* ---- the coordinator's turn ---- */

inline send(p, what)
{
    if
    :: REACHABLE(p) && !(down[term * PROCESSES + p]??[eval(what)]) ->
        assert(nfull(down[term * PROCESSES + p]));
        down[term * PROCESSES + p]!what
    :: else -> skip
    fi
}

#ifdef MUTATE_MEMORY_NOT_ABANDONED
#define ABANDON 0
#else
#define ABANDON ((deaths & ~gone) != 0)
#endif

inline tell(slot)
{
    if
    :: HAS(members, slot) && HAS(connection, slot) && FILLED(slot) ->
        if
        :: state == REVOKED -> send(seat[slot], MESSAGE(REVOKE, epoch, 0)); said_dead = said_dead | deaths
        :: state == CONNECTING -> send(seat[slot], MESSAGE(AGREED, epoch, ABANDON))
        :: state == RUNNING -> send(seat[slot], MESSAGE(ESTABLISHED, epoch, 0))
        fi
    :: else -> skip
    fi
}

inline revoke_epoch()
{
    revoke_due = 1;
    if
    :: state != REVOKED -> state = REVOKED; quiet = 0; connected = 0
    :: else -> skip
    fi
}

inline verdict(p)
{
#ifndef MUTATE_VERDICT_BEFORE_JOURNAL
    persisted = 1;
#endif
    if
    :: LIVE(p) && !process[p].out -> faults++; stop_used = 1
    :: else -> skip
    fi;
    s = slot_of[p];
    said_dead = said_dead | BIT(p);
    if
    :: HAS(connection, s) -> send(p, MESSAGE(REFUSED, 0, 0))
    :: else -> skip
    fi;
    fenced = fenced | BIT(p);
    seat[s] = OPEN;
    if
    :: process[p].life == DEAD -> forget_store(p)
    :: else -> skip
    fi;
    starting[s] = NONE;
    connection = connection & ~BIT(s);
    expected = expected & ~BIT(s);
    quiet = quiet & ~BIT(s);
    connected = connected & ~BIT(s);
    if
    :: HAS(members, s) -> members = members & ~BIT(s); deaths = deaths | BIT(p); revoke_epoch()
    :: else -> skip
    fi
}

inline leave_unproven(p)
{
    if
    :: HAS(deaths, p) -> abandoned = abandoned | BIT(p)
    :: else -> skip
    fi
}

inline prove_gone(p)
{
    if
    :: LIVE(p) -> die(p)
    :: else -> skip
    fi;
    if
    :: HAS(deaths, p) -> gone = gone | BIT(p)
    :: else -> skip
    fi
}

/* muster_core_restore_point_choose: r is the epoch whose step is taken, 0: none. */
inline choose_restore_point()
{
    survivors = 0;
    for (s : 0 .. SLOTS - 1) {
        if
        :: HAS(members, s) && FILLED(s) -> survivors = survivors | BIT(seat[s])
        :: else -> skip
        fi
    }
    r = epoch;
    do
    :: r == 0 -> break
    :: else ->
        held = 0;
        for (i : 0 .. PROCESSES - 1) {
            if
            :: HAS(survivors, i) && (process[i].first_epoch == r || process[i].second_epoch == r) ->
                held = held | BIT(slot_of[i]);
                ring_before(r, slot_of[i], neighbour);
                held = held | BIT(neighbour)
            :: else -> skip
            fi
        }
        ready = 1;
        for (s : 0 .. SLOTS - 1) {
            if
            :: history[r].filled[s] != OPEN && !HAS(held, s) -> ready = 0
            :: else -> skip
            fi
        }
        if
        :: ready -> break
        :: else -> r--
        fi
    od;
    /* Is a slot of the newest committed step lost together with its mirror? The store is not asked. */
    saw = 0;
    c = committed_epoch;
    if
    :: c > 0 ->
        for (s : 0 .. SLOTS - 1) {
            if
            :: history[c].filled[s] != OPEN ->
                ring_next(c, s, neighbour);
                if
                :: !HAS(survivors, history[c].filled[s]) && !HAS(survivors, history[c].filled[neighbour]) -> saw = 1
                :: else -> skip
                fi
            :: else -> skip
            fi
        }
        assert(r >= c || saw) /* a committed step is not lost */
    :: else -> skip
    fi;
    /* The same of the epoch that ends: a rank that was fenced may see its commit only later. */
    saw = 0;
    for (s : 0 .. SLOTS - 1) {
        if
        :: history[epoch].filled[s] != OPEN ->
            ring_next(epoch, s, neighbour);
            if
            :: !HAS(survivors, history[epoch].filled[s]) && !HAS(survivors, history[epoch].filled[neighbour]) -> saw = 1
            :: else -> skip
            fi
        :: else -> skip
        fi
    }
    history[epoch].lost = saw
}

inline agree()
{
    choose_restore_point();
#ifndef MUTATE_AGREED_BEFORE_JOURNAL
    persisted = 1;
#endif
    epoch++;
    assert(epoch < EPOCHS);
    state = CONNECTING;
    connected = 0;
    quiet = 0;
    if
    :: history[epoch].used -> /* one member list an epoch, one restore point */
        assert(history[epoch].restored == r);
        for (s : 0 .. SLOTS - 1) {
            assert(history[epoch].filled[s] == (FILLED(s) -> seat[s] : OPEN))
        }
    :: else ->
        history[epoch].used = 1;
        history[epoch].restored = r;
        for (s : 0 .. SLOTS - 1) {
            history[epoch].filled[s] = (FILLED(s) -> seat[s] : OPEN)
        }
    fi;
    for (s : 0 .. SLOTS - 1) {
        if
        :: FILLED(s) ->
            assert(!HAS(said_dead, seat[s])); /* no verdict is taken back */
            members = members | BIT(s)
        :: else -> skip
        fi
    }
    for (s : 0 .. SLOTS - 1) {
        tell(s)
    }
}

/* Everything that follows from what is known by now. */
inline look()
{
    if
    :: revoke_due ->
        revoke_due = 0;
        for (s : 0 .. SLOTS - 1) {
            tell(s)
        }
    :: else -> skip
    fi;
    if
    :: state == REVOKED ->
        ready = 1;
        for (s : 0 .. SLOTS - 1) {
            if
            :: seat[s] == OPEN ->
#ifdef REPLACE
                ready = 0;
                if
                :: starting[s] == NONE ->
                    assert(next_process < PROCESSES);
                    starting[s] = next_process;
                    slot_of[next_process] = s;
                    process[next_process].life = ALIVE;
                    say_join(next_process);
                    next_process++;
                    persisted = 1
                :: else -> skip
                fi
#else
                seat[s] = RETIRED
#endif
            :: else -> skip
            fi;
            if
#ifndef MUTATE_AGREED_WITHOUT_QUIET
            :: HAS(members, s) && !HAS(quiet, s) -> ready = 0
#endif
            :: else -> skip
            fi
        }
        if
        :: ready && (deaths & ~(gone | abandoned)) == 0 -> agree()
        :: else -> skip
        fi
    :: state == CONNECTING ->
        if
        :: (members & ~connected) == 0 ->
            state = RUNNING;
            deaths = 0;
            gone = 0;
            abandoned = 0;
            for (s : 0 .. SLOTS - 1) {
                tell(s)
            }
        :: else -> skip
        fi
    :: else -> skip
    fi
}

inline coordinator_join(p)
{
    s = slot_of[p];
    if
    :: seat[s] == p ->
        /* the journal is never behind what ranks know */
        assert(EPOCH(message) <= epoch);
        connection = connection | BIT(s);
        expected = expected & ~BIT(s);
        send(p, MESSAGE(WELCOME, 0, 0));
        if
        :: HAS(members, s) && EPOCH(message) == epoch && FLAG(message) && state != REVOKED -> revoke_epoch()
        :: else ->
#ifndef MUTATE_REJOIN_NOT_TOLD
            tell(s)
#endif
            skip
        fi
    :: seat[s] != p && seat[s] == OPEN && starting[s] == p && EPOCH(message) == 0 ->
        seat[s] = p;
        starting[s] = NONE;
        connection = connection | BIT(s);
        send(p, MESSAGE(WELCOME, 0, 0))
    :: else ->
#ifdef MUTATE_FENCED_MAY_REJOIN
        if
        :: seat[s] == OPEN || seat[s] == RETIRED ->
            seat[s] = p;
            starting[s] = NONE;
            connection = connection | BIT(s);
            send(p, MESSAGE(WELCOME, 0, 0));
            revoke_epoch()
        :: else -> send(p, MESSAGE(REFUSED, 0, 0))
        fi
#else
        send(p, MESSAGE(REFUSED, 0, 0))
#endif
    fi
}

inline coordinator_rank_message(p)
{
    s = slot_of[p];
    if
    :: seat[s] == p ->
        connection = connection | BIT(s);
        if
        :: HAS(expected, s) -> send(p, MESSAGE(REJOIN, 0, 0))
        :: else -> skip
        fi;
        if
        :: !HAS(members, s) || EPOCH(message) != epoch -> tell(s)
        :: HAS(members, s) && EPOCH(message) == epoch && TYPE(message) == QUIET ->
            if
            :: state != REVOKED -> revoke_epoch()
            :: else -> skip
            fi;
            quiet = quiet | BIT(s)
        :: HAS(members, s) && EPOCH(message) == epoch && TYPE(message) == CONNECTED ->
            if
            :: state == CONNECTING -> connected = connected | BIT(s)
            :: else -> tell(s)
            fi
        fi
    :: seat[s] != p && HAS(fenced, p) -> send(p, MESSAGE(REFUSED, 0, 0))
    :: else -> send(p, MESSAGE(REJOIN, 0, 0))
    fi
}

inline coordinator_hear(p)
{
    up[p]?message;
    if
    :: TYPE(message) == JOIN -> coordinator_join(p)
    :: else -> coordinator_rank_message(p)
    fi
}

/* A heartbeat, where nothing else would come. */
inline coordinator_hear_heartbeat(p)
{
    if
    :: seat[slot_of[p]] != p && HAS(fenced, p) -> send(p, MESSAGE(REFUSED, 0, 0))
    :: else -> send(p, MESSAGE(REJOIN, 0, 0))
    fi
}
#define HEARTBEAT_MATTERS(p) \
    (LIVE(p) && !process[p].out && process[p].joining == 0 && empty(up[p]) && \
     empty(down[p]) && empty(down[PROCESSES + p]) && \
     (seat[slot_of[p]] != p || HAS(expected, slot_of[p])))

inline replacement_died(p)
{
    fenced = fenced | BIT(p);
    starting[slot_of[p]] = NONE;
    said_dead = said_dead | BIT(p)
}

/* ---- the coordinator dies and comes back from its journal ---- */

inline save_journal()
{
    saved_state = state; saved_epoch = epoch; saved_members = members; saved_fenced = fenced;
    saved_deaths = deaths; saved_gone = gone; saved_abandoned = abandoned; saved_next = next_process;
    for (i : 0 .. SLOTS - 1) {
        saved_seat[i] = seat[i]; saved_starting[i] = starting[i]
    }
}

/* What this turn changed was not written yet. */
inline lose_turn()
{
    if
    :: !persisted ->
        state = saved_state; epoch = saved_epoch; members = saved_members; fenced = saved_fenced;
        deaths = saved_deaths; gone = saved_gone; abandoned = saved_abandoned; next_process = saved_next;
        for (i : 0 .. SLOTS - 1) {
            seat[i] = saved_seat[i]; starting[i] = saved_starting[i]
        }
    :: else -> skip
    fi
}

inline restart()
{
    crashes++;
    term = 1;
    quiet = 0;
    connected = 0;
    connection = 0;
    expected = 0;
    for (i : 0 .. SLOTS - 1) {
        if
        :: HAS(members, i) -> expected = expected | BIT(i)
        :: !HAS(members, i) && FILLED(i) -> starting[i] = seat[i]; seat[i] = OPEN
        :: else -> skip
        fi
    }
    for (i : 0 .. PROCESSES - 1) {
        if
        :: REACHABLE(i) ->
            if
            :: empty(down[i]) -> say_join(i)
            :: nempty(down[i]) -> process[i].joining = 1 /* it may hear of the last term first */
            fi
        :: else -> skip
        fi
    }
    /* a replacement that was asked for in a turn that nobody remembers is asked for anew */
    look()
}

inline drop_messages()
{
    for (i : 0 .. PROCESSES - 1) {
        forget(up[i]);
        forget(down[i])
    }
}

/* ---- working threads ---- */

/* muster_membership_enter: the next epoch is taken up. */
inline enter(p)
{
    leave_epoch(p);
    process[p].epoch = process[p].agreed;
    process[p].revoked = (process[p].revoked < process[p].epoch -> 0 : process[p].revoked);
    r = history[process[p].epoch].restored;
    if
    :: r > 0 ->
        if
        :: process[p].first_epoch == r -> process[p].first_committed = 1
        :: process[p].first_epoch > r -> process[p].first_epoch = 0; process[p].first_committed = 0
        :: else -> skip
        fi;
        if
        :: process[p].second_epoch == r -> process[p].second_committed = 1
        :: process[p].second_epoch > r -> process[p].second_epoch = 0; process[p].second_committed = 0
        :: else -> skip
        fi
    :: else -> skip
    fi;
    if
    :: process[p].abandon -> /* whoever wrote into its memory does so no more */
        process[p].written = 0;
        for (i : 0 .. PROCESSES - 1) {
            if
            :: i != p && process[i].epoch > 0 && history[process[i].epoch].filled[slot_of[i]] == i ->
                ring_next(process[i].epoch, slot_of[i], neighbour);
                if
                :: history[process[i].epoch].filled[neighbour] == p -> process[i].unmapped = 1
                :: else -> skip
                fi
            :: else -> skip
            fi
        }
    :: else -> skip
    fi;
    process[p].abandon = 0;
    arrived[process[p].epoch] = arrived[process[p].epoch] | BIT(p);
    process[p].phase = CONNECT
}

inline go_quiet(p)
{
    process[p].phase = AWAIT;
    if
    :: process[p].agreed == process[p].epoch -> process[p].quiet = process[p].epoch; say_quiet(p)
    :: else -> skip
    fi
}

/* ---- agents: what they hear ---- */

inline stand_down(p)
{
    process[p].out = 1;
    forget_agent(p);
    if
    :: process[p].phase != COPY -> forget_work(p)
    :: else -> skip
    fi
}

inline agent_dispatch(p)
{
    if
    :: TYPE(message) == WELCOME ->
        if
        :: process[p].joining > 0 -> process[p].joining = 0; say_quiet(p); say_connected(p)
        :: else -> skip
        fi
    :: TYPE(message) == REFUSED -> stand_down(p)
    :: TYPE(message) == REVOKE ->
        if
        :: process[p].connected <= EPOCH(message) -> process[p].connected = 0
        :: else -> skip
        fi;
        if
        :: EPOCH(message) > process[p].revoked -> process[p].revoked = EPOCH(message)
        :: else -> skip
        fi;
        if
        :: process[p].quiet > 0 ->
            process[p].quiet =
                (EPOCH(message) > process[p].agreed -> EPOCH(message) : process[p].agreed);
            say_quiet(p)
        :: process[p].quiet == 0 && process[p].agreed == 0 ->
            process[p].quiet = EPOCH(message);
            say_quiet(p)
        :: else -> skip
        fi
#ifdef MUTATE_QUIET_AT_REVOKE
        ;
        if
        :: process[p].agreed > 0 -> process[p].quiet = process[p].agreed; say_quiet(p)
        :: else -> skip
        fi
#endif
    :: TYPE(message) == AGREED && EPOCH(message) > process[p].agreed ->
        if
        :: history[EPOCH(message)].filled[slot_of[p]] != p -> stand_down(p)
        :: else ->
            if
            :: process[p].agreed > 0 && EPOCH(message) - 1 > process[p].revoked ->
                process[p].revoked = EPOCH(message) - 1
            :: else -> skip
            fi;
            if
            :: process[p].quiet < EPOCH(message) -> process[p].quiet = 0
            :: else -> skip
            fi;
            if
            :: process[p].connected < EPOCH(message) -> process[p].connected = 0
            :: else -> skip
            fi;
            process[p].agreed = EPOCH(message);
            process[p].abandon = FLAG(message);
            if
            :: process[p].phase == AWAIT -> enter(p)
            :: else -> skip
            fi
        fi
    :: TYPE(message) == ESTABLISHED && EPOCH(message) == process[p].agreed ->
        process[p].established = EPOCH(message)
    :: TYPE(message) == REJOIN ->
        if
        :: process[p].joining == 0 -> say_join(p)
        :: else -> skip
        fi
    :: else -> skip
    fi
}

inline agent_hear(p, of_term)
{
    down[of_term * PROCESSES + p]?message;
    if
    :: of_term == 0 && process[p].later_term -> skip /* a lower term */
    :: else ->
        if
        :: of_term == 1 && !process[p].later_term ->
            process[p].later_term = 1;
            if
            :: TYPE(message) != WELCOME && TYPE(message) != REFUSED -> say_join(p)
            :: else -> skip
            fi
        :: else -> skip
        fi;
        welcomed = TYPE(message) == WELCOME;
        agent_dispatch(p);
        if
        :: welcomed ->
            if
            :: nempty(down[of_term * PROCESSES + p]) ->
                down[of_term * PROCESSES + p]?message;
                agent_dispatch(p)
            :: empty(down[of_term * PROCESSES + p]) -> skip
            fi
        :: else -> skip
        fi
    fi
}

/* True when the mask of processes has all of the epoch's. */
#define ALL_OF(mask, of_epoch) \
    ((history[of_epoch].filled[0] == OPEN || HAS(mask, history[of_epoch].filled[0])) && \
     (history[of_epoch].filled[1] == OPEN || HAS(mask, history[of_epoch].filled[1])) && \
     (history[of_epoch].filled[2] == OPEN || HAS(mask, history[of_epoch].filled[2])))

/* muster_step_store_begin: room for a generation, never that of the newest commit */
inline begin_generation(p)
{
    if
    :: !process[p].first_committed -> process[p].first_epoch = 0
    :: process[p].first_committed && !process[p].second_committed -> process[p].second_epoch = 0
    :: else ->
        if
        :: process[p].first_epoch > process[p].second_epoch -> process[p].second_epoch = 0; process[p].second_committed = 0
        :: else -> process[p].first_epoch = 0; process[p].first_committed = 0
        fi
    fi
}

inline stage_generation(p)
{
    if
    :: !process[p].first_committed -> process[p].first_epoch = process[p].epoch
    :: else -> process[p].second_epoch = process[p].epoch
    fi
}

inline commit_generation(p)
{
    if
    :: process[p].first_epoch == process[p].epoch -> process[p].first_committed = 1
    :: else -> assert(process[p].second_epoch == process[p].epoch); process[p].second_committed = 1
    fi;
    c = process[p].epoch;
    if
    :: c > committed_epoch -> committed_epoch = c
    :: else -> skip
    fi;
    /* Who sees its commit late, fenced meanwhile, sees what the others went on from. */
    assert(c == EPOCHS - 1 || !history[c + 1].used || history[c + 1].restored == c || history[c].lost)
}

/* The process whose state this slot mirrors. */
#define FILLER(of_epoch, slot) history[of_epoch].filled[(slot) % SLOTS]
#define BEFORE(of_epoch, slot) \
    (FILLER(of_epoch, (slot) + 2) != OPEN -> FILLER(of_epoch, (slot) + 2) : \
     (FILLER(of_epoch, (slot) + 1) != OPEN -> FILLER(of_epoch, (slot) + 1) : FILLER(of_epoch, slot)))

/* A process that is stopped for a while is one that does nothing for a while, which any may do at any
 * time here: so a stop is a verdict on a process that lives. */
#define MAY_FAIL(p) (faults < DEATHS && (faults > 0 || p == 0))
#define LOST(p) \
    (seat[slot_of[p]] == p && (process[p].life == DEAD || process[p].out || (LIVE(p) && !stop_used && MAY_FAIL(p))))

proctype rank(byte p)
{
end:
    do
    /* faults */
    :: d_step { LIVE(p) && MAY_FAIL(p) && starting[slot_of[p]] != p ->
           faults++; die(p) }
    /* agent: hears, one coordinator's term after the other, or neither */
    :: d_step { LIVE(p) && !process[p].out && nempty(down[p]) -> agent_hear(p, 0) }
    :: d_step { LIVE(p) && !process[p].out && nempty(down[PROCESSES + p]) -> agent_hear(p, 1) }
    /* agent: says */
    :: d_step { LIVE(p) && !process[p].out && process[p].joining == 1 ->
           say_join(p) }

    /* working thread */
    :: d_step { LIVE(p) && !process[p].out && process[p].phase == AWAIT &&
               process[p].agreed > process[p].epoch -> enter(p) }
    :: d_step { LIVE(p) && !process[p].out && process[p].phase == CONNECT &&
               ALL_OF(arrived[process[p].epoch], process[p].epoch) ->
           process[p].unmapped = 0;
           process[p].phase = ESTABLISH;
           process[p].connected = process[p].epoch;
           say_connected(p) }
    :: d_step { LIVE(p) && !process[p].out && process[p].phase == ESTABLISH &&
               process[p].established == process[p].epoch ->
           process[p].established = 0;
#ifdef MEMBERSHIP_ONLY
           process[p].phase = WORKING }
#else
           begin_generation(p);
           staging[process[p].epoch] = staging[process[p].epoch] | BIT(p);
           process[p].phase = STAGE }
#endif
    :: d_step { LIVE(p) && !process[p].out && process[p].phase == STAGE &&
               ALL_OF(staging[process[p].epoch], process[p].epoch) ->
           process[p].phase = COPY }
    :: d_step { LIVE(p) && process[p].phase == COPY ->
           ring_next(process[p].epoch, slot_of[p], neighbour);
           m = history[process[p].epoch].filled[neighbour];
           if
           :: !process[p].unmapped -> process[m].written = process[p].epoch
           :: else -> skip
           fi;
           copied[process[p].epoch] = copied[process[p].epoch] | BIT(p);
           process[p].phase = RECEIVE;
           if
           :: process[p].out -> forget_work(p)
           :: else -> skip
           fi }
    :: d_step { LIVE(p) && !process[p].out && process[p].phase == RECEIVE &&
               HAS(copied[process[p].epoch], BEFORE(process[p].epoch, slot_of[p])) ->
           assert(process[p].written == process[p].epoch); /* nothing of another epoch */
           stage_generation(p);
           committing[process[p].epoch] = committing[process[p].epoch] | BIT(p);
           process[p].phase = COMMIT }
    :: d_step { LIVE(p) && !process[p].out && process[p].phase == COMMIT &&
               ALL_OF(committing[process[p].epoch], process[p].epoch) ->
           assert(process[p].written == process[p].epoch);
           commit_generation(p);
           process[p].phase = WORKING }
    :: d_step { LIVE(p) && !process[p].out && process[p].phase != AWAIT && process[p].phase != COPY &&
               process[p].revoked >= process[p].epoch -> go_quiet(p) }

    /* coordinator: a turn about this process */
    :: d_step { nempty(up[p]) ->
           persisted = 0; coordinator_hear(p); look() }
    :: d_step { nempty(up[p]) && crashes < CRASHES ->
           persisted = 0; save_journal(); coordinator_hear(p); look(); lose_turn(); restart() }
    :: d_step { HEARTBEAT_MATTERS(p) -> coordinator_hear_heartbeat(p) }
    /* lost: killed, and proven gone or never; or stopped, and never proven gone, or killed by its launcher */
    :: d_step { LOST(p) -> persisted = 0; verdict(p); leave_unproven(p); look() }
    :: d_step { LOST(p) -> persisted = 0; verdict(p); prove_gone(p); look() }
    :: d_step { LOST(p) && crashes < CRASHES ->
           persisted = 0; save_journal(); verdict(p); leave_unproven(p); look(); lose_turn(); restart() }
    :: d_step { LOST(p) && crashes < CRASHES ->
           persisted = 0; save_journal(); verdict(p); prove_gone(p); look(); lose_turn(); restart() }
#ifdef REPLACE
    /* a replacement before it joined, or joined again */
    :: d_step { starting[slot_of[p]] == p && process[p].life == DEAD -> replacement_died(p); look() }
    :: d_step { starting[slot_of[p]] == p && LIVE(p) && MAY_FAIL(p) ->
           faults++; die(p); forget(up[p]); replacement_died(p); look() }
#endif
    od
}

proctype coordinator()
{
end:
    do
    :: d_step { crashes < CRASHES -> restart() }
    :: d_step { crashes < CRASHES -> drop_messages(); restart() }
    od
}

init {
    atomic {
        for (s : 0 .. SLOTS - 1) {
            slot_of[s] = s;
            seat[s] = s;
            starting[s] = NONE;
            members = members | BIT(s);
            history[1].filled[s] = s;
            process[s].life = ALIVE;
            process[s].epoch = 1;
            process[s].agreed = 1;
            process[s].established = 1;
            process[s].phase = ESTABLISH
        }
        history[1].used = 1;
        for (i : 2 .. EPOCHS - 1) {
            for (s : 0 .. SLOTS - 1) {
                history[i].filled[s] = OPEN
            }
        }
        for (i : 0 .. PROCESSES - 1) {
            run rank(i)
        }
        run coordinator()
    }
    /* Nothing can happen any more: does every rank work, or know why not? */
    timeout ->
    d_step {
        for (i : 0 .. PROCESSES - 1) {
            if
            :: LIVE(i) && !process[i].out ->
                assert(process[i].phase == WORKING && process[i].epoch == epoch && state == RUNNING)
            :: LIVE(i) && process[i].out -> assert(HAS(fenced, i))
            :: else -> skip
            fi
        }
        assert(state == RUNNING)
    }
}
