/* journal.pml: "a signal reaches the broker at most once" (DESIGN sections 1, 3, 4), for Spin.
 *
 * Safety only: `End` runs when nothing else can, so what must hold "in the end" is an assertion there.
 * A script of the store is one d_step; so is everything that nobody else can see the middle of. A pause is an
 * interleaving: any process may stand still while time and the others go on. A crash loses a process's locals.
 * Time is one clock, `now`, in ticks; S, D and L are in ticks. A request under way arrives or is dropped at most
 * L after its write, unless RESIDUAL. The store's restart makes it an older image of itself (any suffix is lost) or
 * empty, under a new run. Kafka: equal records collapse; an uncommitted record may be taken by both engines at once;
 * a committed one comes again at most REDELIVERIES times. PLACED stands for all that a broker may have taken.
 *
 * Names are the code's: engine/service.py, adapters/memory/{journal,decisions}.py, order_tracker/*, risk/desk.py.
 * Guards (journal_guards.h, guards.py) are 1 or 0; bounds (journal_bounds.h) are numbers.
 */
#include "journal_bounds.h"
#include "journal_guards.h"

#define RECORDS 4                    /* room on signals.validated */

/* EntryState */
#define NONE 0
#define SENDING 1
#define UNKNOWN 2
#define PLACED 3
#define FAILED 4
#define LOST 5
#define in_doubt(x) ((x) == SENDING || (x) == UNKNOWN)
#define ended(x) ((x) >= PLACED)
#define refused(x) ((x) == FAILED || (x) == LOST)

/* what Kafka has been told of a signal (a set) */
#define E_REJECTED 1
#define E_FAILED 2
#define E_PLACED 4
#define E_LOST 8
#define E_CORRECTED 16               /* ORDER_UPDATED, correction: the broker took it after all */
#define E_EXTERNAL 32                /* booked as somebody else's */
#define E_TOLD 31
#define event_of(state) ((state) == PLACED -> E_PLACED : ((state) == LOST -> E_LOST : E_FAILED))

/* what the broker has of a signal's order */
#define NO_CALL 0
#define UNDER_WAY 1
#define IN_BOOK 2
#define TURNED_DOWN 3
#define DROPPED 4

/* risk's verdict */
#define VALIDATED 1
#define REJECTED 2

/* replies of begin and refuse */
#define GO 1
#define DUP 2
#define STORED 3                     /* a refusal, stored; or, of an old epoch, doubt */

/* The properties. */
#define P_ONCE 1           /* the broker is called at most once for a signal */
#define P_BOOKED 2         /* in the end an order in the broker's book is told, in doubt, or the account is latched */
#define P_LOST_RIGHT 4     /* in the end LOST of an existing order is corrected, and the account latched */
#define P_TOLD 8           /* in the end every signal is told an outcome, or is in doubt */
#define P_EPOCH 16         /* GO only under the epoch of this run, that the decision was made under, unexpired */
#define P_HALT 32          /* no GO after a person was told that trading is halted */
#define P_DOUBT 64         /* no GO while another order of the key is in doubt */
#define P_OUTCOME 128      /* no GO after an outcome was told; a false FAILED or REJECTED is corrected and latched */
#define P_FINAL 256        /* a terminal state is never overwritten by another one, but by a correction */
#define P_OURS 512         /* an order of ours is never booked as somebody else's */
#define P_TRUE 1024        /* an order that exists is never told LOST, FAILED or REJECTED at all (not with RESIDUAL) */
#define HOLDS(property, condition) assert(!(CHECKED & (property)) || (condition))

/* -------------------------------------------------------------------------------------------------- the state */

typedef Store {                      /* one Redis */
  byte lease;                        /* fencing token of the order-tracker */
  byte epoch_run, epoch;             /* the journal's epoch, and the run it is valid in */
  bit latch;
  byte state[SIGNALS], send_by[SIGNALS];
  bit open[SIGNALS], late[SIGNALS], external[SIGNALS];
  byte verdict[SIGNALS], verdict_epoch[SIGNALS]
};
Store R, image, nothing;             /* the live one, what a restart falls back to, an empty one */
bit has_image;
bit lease_lives = 1;                 /* the lease was given in the store's present run */
byte life = 1, now = 0;             /* life: the run of the store ("run" is a word of Promela) */
byte next_epoch = 2, next_token = 2; /* random or from the clock: never repeated, whatever is lost */
bit halted;                          /* ghost: a person was told that trading is halted */

bit raw_done[SIGNALS];               /* signals.raw: consumed */
bit there[RECORDS], committed[RECORDS];
byte signal_of[RECORDS], epoch_of[RECORDS];   /* signals.validated */
byte told[SIGNALS];

byte calls[SIGNALS], order[SIGNALS], arrives_by[SIGNALS];
byte late_begin = 0;                 /* record + 1 of an unanswered BEGIN that the store has yet to get */

byte engine_crashes = ENGINE_CRASHES, tracker_crashes = TRACKER_CRASHES, risk_crashes = RISK_CRASHES,
     restarts = RESTARTS, lost_replies = LOST_REPLIES, late_begins = LATE_BEGINS, faults = FAULTS, halts = HALTS,
     clears = CLEARS, redeliveries = REDELIVERIES, missed_rows = MISSED_ROWS, takeovers = TAKEOVERS,
     extra_reads = EXTRA_READS;
byte k;                              /* scratch, 0 between steps */

#define COPY1(to, from, i) to.state[i] = from.state[i]; to.send_by[i] = from.send_by[i]; to.open[i] = from.open[i]; \
  to.late[i] = from.late[i]; to.external[i] = from.external[i]; to.verdict[i] = from.verdict[i]; \
  to.verdict_epoch[i] = from.verdict_epoch[i]
#if SIGNALS == 1
#define EACH(what, to, from) what(to, from, 0)
#define doubt_beside(s) 0
#define truly_doubtful_beside(s) 0
#define URGENT (order[0] == UNDER_WAY && now >= arrives_by[0])
#define USEFUL useful(0)
#else
#define EACH(what, to, from) what(to, from, 0); what(to, from, 1)
#define doubt_beside(s) in_doubt(R.state[1 - (s)])
/* also an order that a journal without its tail does not know of */
#define truly_doubtful_beside(s) (in_doubt(R.state[1 - (s)]) \
  || (calls[1 - (s)] > 0 && R.state[1 - (s)] == NONE && !(told[1 - (s)] & E_TOLD)))
#define URGENT ((order[0] == UNDER_WAY && now >= arrives_by[0]) || (order[1] == UNDER_WAY && now >= arrives_by[1]))
#define USEFUL (useful(0) || useful(1))
#endif
#define COPY(to, from) to.lease = from.lease; to.epoch_run = from.epoch_run; to.epoch = from.epoch; \
  to.latch = from.latch; EACH(COPY1, to, from)
#define valid_epoch (R.epoch_run == life && R.epoch != 0)
#define overdue(s) (now >= R.send_by[s] + (LOST_AFTER -> D : 0))
/* a reading of the book can change something: others are left out, they change nothing */
#define useful(s) ((order[s] == IN_BOOK && (in_doubt(R.state[s]) || R.state[s] == NONE \
    || (refused(R.state[s]) && CORRECT))) || (in_doubt(R.state[s]) && overdue(s)))
#define on_validated(s) ((there[0] && signal_of[0] == s) || (there[1] && signal_of[1] == s) \
  || (there[2] && signal_of[2] == s) || (there[3] && signal_of[3] == s))
#define never_traded (NEVER_TRADED -> !there[0] : R.epoch == 0)

/* ------------------------------------------------------------------------------------------------- the engine */

/* journal.acknowledge: an entry leaves `open` if its present revision was told */
#define acknowledge(s, what, corrected) if \
  :: ended(R.state[s]) && (!ACKNOWLEDGE_REVISION || (R.state[s] == what && R.late[s] == corrected)) -> R.open[s] = 0 \
  :: else fi

#define store_failed(s) if :: REFUSAL_STORED -> R.state[s] = FAILED; R.open[s] = 1 :: else fi
#define doubt_or_failed(s) if :: OLD_EPOCH_UNKNOWN -> R.state[s] = UNKNOWN; R.send_by[s] = now + S; R.open[s] = 1 \
  :: else -> store_failed(s) fi

/* journal.begin: `s` and `v` are the signal and its record; the reply is in `reply` */
inline begin(s, v) {
  if
  :: R.state[s] != NONE && BEGIN_ONCE -> reply = DUP
  :: else ->
     if
     :: (BEGIN_RUN && R.epoch_run != life) || R.epoch == 0 || (BEGIN_EPOCH && epoch_of[v] != R.epoch) ->
          reply = STORED; doubt_or_failed(s)
     :: else ->
        if
        :: (BEGIN_STATE && R.latch) || (BEGIN_NO_DOUBT && doubt_beside(s)) || (BEGIN_EXPIRY && now >= EXPIRES) ->
             reply = STORED; store_failed(s)
        :: else ->
             reply = GO;
             HOLDS(P_EPOCH, R.epoch_run == life && epoch_of[v] == R.epoch && now < EXPIRES);
             HOLDS(P_HALT, !halted);
             HOLDS(P_DOUBT, !truly_doubtful_beside(s));
             HOLDS(P_OUTCOME, !(told[s] & E_TOLD));
             R.state[s] = SENDING; R.send_by[s] = now + S; R.open[s] = 1
        fi
     fi
  fi
}
/* journal.refuse */
inline refuse(s, v) {
  if
  :: R.state[s] != NONE -> reply = DUP
  :: else -> reply = STORED;
     if :: !valid_epoch || epoch_of[v] != R.epoch -> doubt_or_failed(s) :: else -> store_failed(s) fi
  fi
}
/* what of a refusal is told: nothing of DUP, nothing of doubt */
#define tell_refusal(s) if \
  :: reply == STORED && !in_doubt(R.state[s]) -> out = FAILED; at = TELL \
  :: else -> out = 0; at = COMMIT fi

#define IDLE 0
#define ASK 1                        /* BEGIN is to be sent */
#define ASKED 2                      /* its answer is there */
#define CALL 3                       /* the clock was looked at; only with FROZEN_CALL */
#define CALLED 4
#define SETTLE 5
#define TELL 6
#define ACKNOWLEDGE 7
#define COMMIT 8
#define REFUSE 9                     /* a fault before BEGIN, or BEGIN unanswered */
#define TAKE(i) :: d_step { at == IDLE && there[i] && (!committed[i] || redeliveries > 0) -> \
    if :: committed[i] -> redeliveries-- :: else fi; \
    v = i; s = signal_of[i]; since = now; at = ASK; printf("engine %d takes signal %d (epoch %d)\n", id, s, epoch_of[i]) }
#define FORGET at = IDLE; reply = 0; out = 0; out_late = 0; since = 0; until = 0; v = 0; s = 0
#define PLACE(s) calls[s]++; HOLDS(P_ONCE, calls[s] <= 1); order[s] = UNDER_WAY; \
  arrives_by[s] = (RESIDUAL -> END_OF_TIME - 1 : now + L); at = CALLED; since = 0; reply = 0

proctype Engine(byte id) {
  byte at, v, s, since, until, reply, out;
  bit out_late;
  do
  TAKE(0) TAKE(1) TAKE(2) TAKE(3)
  :: d_step { at == ASK && faults > 0 -> faults--; at = REFUSE; since = 0; printf("engine %d: a fault before BEGIN\n", id) }
  :: d_step { at == ASK -> begin(s, v);
       if :: reply == GO -> until = R.send_by[s]; at = ASKED
          :: else -> since = 0; tell_refusal(s) fi;
       printf("engine %d BEGIN %d: %d (t=%d)\n", id, s, reply, now); if :: reply != GO -> reply = 0 :: else fi }
  :: d_step { at == ASK && late_begins > 0 && late_begin == 0 -> late_begins--; late_begin = v + 1; since = 0;
       at = (UNANSWERED_REFUSES -> REFUSE : COMMIT); printf("engine %d BEGIN %d: unanswered, not there yet\n", id, s) }
  :: d_step { at == ASKED && lost_replies > 0 -> lost_replies--; reply = 0; since = 0; until = 0;
       at = (UNANSWERED_REFUSES -> REFUSE : COMMIT); printf("engine %d: the reply is lost\n", id) }
  :: d_step { at == REFUSE -> refuse(s, v); printf("engine %d refuse %d: %d\n", id, s, reply); tell_refusal(s); reply = 0 }
  /* one call, unless the deadline (read before BEGIN) has passed */
  :: d_step { at == ASKED && (now < since + S || !DEADLINE) ->
       if :: FROZEN_CALL -> at = CALL; printf("engine %d: in time, and freezes\n", id)
          :: else -> PLACE(s); printf("engine %d CALLS the broker for %d (t=%d)\n", id, s, now) fi }
  :: d_step { at == CALL -> PLACE(s); printf("engine %d CALLS the broker for %d (t=%d)\n", id, s, now) }
  :: d_step { at == ASKED && now >= since + S && DEADLINE -> out = FAILED; at = SETTLE; since = 0; reply = 0;
       printf("engine %d: too late, no call\n", id) }
  :: d_step { at == CALLED && order[s] == IN_BOOK -> out = PLACED; at = SETTLE; printf("engine %d: accepted\n", id) }
  :: d_step { at == CALLED && order[s] == TURNED_DOWN -> out = FAILED; at = SETTLE; printf("engine %d: turned down\n", id) }
  :: d_step { at == CALLED -> out = (AMBIGUOUS_UNKNOWN -> UNKNOWN : FAILED); at = SETTLE;
       printf("engine %d: no clear answer\n", id) }
  /* journal.settle; whatever the entry is then, is told */
  :: d_step { at == SETTLE ->
       if :: in_doubt(R.state[s]) || (!SETTLE_IN_DOUBT && R.state[s] != NONE) ->
               HOLDS(P_FINAL, !ended(R.state[s]) || R.state[s] == out); R.state[s] = out
          :: R.state[s] == NONE && SETTLE_RECREATES -> R.state[s] = out; R.open[s] = 1; R.send_by[s] = until
          :: else fi;
       printf("engine %d settles %d: %d\n", id, s, R.state[s]); until = 0;
       if :: ended(R.state[s]) && !R.external[s] -> out = R.state[s]; out_late = R.late[s]; at = TELL
          :: else -> out = 0; at = COMMIT fi }
  :: d_step { at == TELL -> told[s] = told[s] | (out_late -> E_CORRECTED : event_of(out)); at = ACKNOWLEDGE;
       printf("engine %d tells %d of %d\n", id, out, s) }
  :: d_step { at == ACKNOWLEDGE -> acknowledge(s, out, out_late); out = 0; out_late = 0; at = COMMIT }
  :: d_step { at == COMMIT -> committed[v] = 1; FORGET; printf("engine %d commits\n", id) }
  :: d_step { at != IDLE && engine_crashes > 0 -> engine_crashes--; FORGET; printf("engine %d CRASHES\n", id) }
  od
}
/* ------------------------------------------------------------------------------------------ the order-tracker */

/* rebuild.py and journal.adopt: what Kafka tells of a signal, where it knows more than the store */
#define ADOPT(unused, unused2, i) if \
  :: (told[i] & E_CORRECTED) && !R.late[i] -> R.state[i] = PLACED; R.late[i] = 1; R.open[i] = 1 \
  :: !(told[i] & E_CORRECTED) && (told[i] & (E_LOST | E_FAILED)) && !ended(R.state[i]) -> \
       R.state[i] = ((told[i] & E_LOST) -> LOST : FAILED); R.open[i] = 1 \
  :: !(told[i] & (E_CORRECTED | E_LOST | E_FAILED)) && (told[i] & E_PLACED) && !ended(R.state[i]) -> \
       R.state[i] = PLACED; R.open[i] = 1 \
  :: !(told[i] & (E_CORRECTED | E_LOST | E_FAILED | E_PLACED)) && (told[i] & E_REJECTED) && !ended(R.state[i]) \
       && (!on_validated(i) || R.state[i] == NONE || in_doubt(R.state[i])) -> R.state[i] = FAILED; R.open[i] = on_validated(i) \
  :: !(told[i] & E_TOLD) && on_validated(i) && R.state[i] == NONE -> \
       R.state[i] = UNKNOWN; R.send_by[i] = now + (REBUILD_SEND_BY -> S : 0); R.open[i] = 1 \
  :: else fi
/* the fence of resolve, correct, orphan, adopt and write_epoch: the holder's token, given in this run of the store */
#define HELD ((!RESOLVE_LEASE || R.lease == token) && (!LEASE_RUN || lease_lives))
#define ITS_OWN_AGAIN (LEASE_RUN && !lease_lives && token != 0 && R.lease == token)

/* resolver.py and strays.py on signal i, by the reading in `shown`, `listed`, `due` */
inline judge(i) {
  if
  :: !HELD -> skip
  :: HELD && shown[i] && listed[i] && in_doubt(R.state[i]) ->
       R.state[i] = PLACED; R.open[i] = 1; misses[i] = 0; printf("tracker %d: %d is in the book\n", id, i)
  :: HELD && shown[i] && refused(R.state[i]) && CORRECT ->
       R.state[i] = PLACED; R.late[i] = 1; R.latch = 1; R.open[i] = 1; printf("tracker %d: late match of %d, latch\n", id, i)
  :: HELD && shown[i] && R.state[i] == NONE ->
       HOLDS(P_OURS, 0);
       if :: ORPHAN -> R.latch = 1; R.state[i] = PLACED; R.late[i] = 1; R.external[i] = 1; R.open[i] = 1 :: else fi;
       printf("tracker %d: nobody knows %d, booked as external\n", id, i)
  :: HELD && !shown[i] && listed[i] && due[i] && (in_doubt(R.state[i]) || (!RESOLVE_IN_DOUBT && R.state[i] == PLACED)) ->
       misses[i]++;
       if :: misses[i] >= (LOST_READS -> READS : 1) && (now >= R.send_by[i] || !LOST_AFTER) ->
               HOLDS(P_FINAL, R.state[i] != PLACED); R.state[i] = LOST; R.open[i] = 1; misses[i] = 0;
               printf("tracker %d: %d is LOST (t=%d)\n", id, i, now)
          :: else -> if :: misses[i] > READS -> misses[i] = READS :: else fi;
               if :: in_doubt(R.state[i]) -> R.state[i] = UNKNOWN :: else fi fi
  :: else
  fi;
  shown[i] = 0; listed[i] = 0; due[i] = 0
}
/* announcer.repeat: what is in `open` and not in doubt is told; then it may leave */
#define ANNOUNCE(i) \
  :: d_step { at == 0 && REPEAT && token != 0 && R.lease == token && R.open[i] && ended(R.state[i]) && !telling[i] && !sent[i] -> \
       telling[i] = R.state[i]; tells_late[i] = R.late[i]; \
       told[i] = told[i] | (R.external[i] -> E_EXTERNAL : (R.late[i] -> E_CORRECTED : event_of(R.state[i]))); \
       sent[i] = 1; printf("tracker %d tells %d of %d\n", id, R.state[i], i) } \
  :: d_step { at == 0 && sent[i] -> acknowledge(i, telling[i], tells_late[i]); sent[i] = 0; telling[i] = 0; tells_late[i] = 0 }

#define BEGIN_ANEW returns_in = 0; seen_at = 0; read_for = 0
#define FORGET_ALL token = 0; at = 0; BEGIN_ANEW; \
  for (k : 0 .. SIGNALS - 1) { shown[k] = 0; listed[k] = 0; due[k] = 0; misses[k] = 0; telling[k] = 0; tells_late[k] = 0; sent[k] = 0 } k = 0

proctype Tracker(byte id; byte token) {
  byte at, misses[SIGNALS], telling[SIGNALS];
  byte returns_in, seen_at, read_for;      /* EpochKeeper: the run that it makes usable, since when, and read for which */
  bit shown[SIGNALS], listed[SIGNALS], due[SIGNALS], tells_late[SIGNALS], sent[SIGNALS];
/* at the end of time every wait is over: nothing is sent any more (END_OF_TIME > EXPIRES + S), all has arrived */
#define waited (now >= seen_at + (EPOCH_WAIT -> S + D : 0) || now == END_OF_TIME)
#define returning (returns_in == life && R.epoch_run != life && read_for != life && (waited || !EPOCH_READ_AFTER))
  do
  /* a lease's holder that is paused or gone may lose it at any time; one whose lease ended with the run gets it anew */
  :: d_step { at == 0 && (token == 0 || R.lease != token || ITS_OWN_AGAIN) &&
         (TRACKERS == 1 || (id == 1 && (R.lease != 1 || takeovers == 0)) || takeovers > 0 || ITS_OWN_AGAIN) ->
       if :: takeovers > 0 && (id == 0 || R.lease == 1) && !ITS_OWN_AGAIN -> takeovers-- :: else fi;
       FORGET_ALL; token = next_token; next_token++; R.lease = token; lease_lives = 1; printf("tracker %d takes the lease (%d)\n", id, token) }
  /* ensure: the run is read first, then latches are put back, then the journal is rebuilt */
  :: d_step { at == 0 && token != 0 && R.epoch_run != life && returns_in != life && HELD ->
       returns_in = life; seen_at = now; read_for = 0;
       if :: RETURN_LATCH && !LOOKED_AT -> R.latch = 1 :: else fi;
       if :: REBUILD -> EACH(ADOPT, R, R) :: else fi; printf("tracker %d: run %d; rebuilds\n", id, life) }
  /* one reading of the book: what is in doubt is listed first; it is as old as its beginning */
  :: d_step { at == 0 && token != 0 && ((R.epoch_run == life && (USEFUL || extra_reads > 0)) || returning) ->
       if :: R.epoch_run == life && !USEFUL -> extra_reads-- :: else fi;
       for (k : 0 .. SIGNALS - 1) {
         shown[k] = (order[k] == IN_BOOK);
         listed[k] = (in_doubt(R.state[k]) || (!RESOLVE_IN_DOUBT && R.state[k] == PLACED));
         due[k] = (listed[k] && overdue(k));
         misses[k] = (listed[k] -> misses[k] : 0)
       } k = 0;
       read_for = (R.epoch_run != life -> returns_in : read_for);
       at = 1; printf("tracker %d reads the book (t=%d)\n", id, now) }
  :: d_step { at == 1 && shown[0] && missed_rows > 0 -> missed_rows--; shown[0] = 0; printf("tracker %d: the reading misses 0\n", id) }
  :: d_step { at == 1 -> judge(0); at = (SIGNALS == 1 -> 0 : 2) }
#if SIGNALS == 2
  :: d_step { at == 2 -> judge(1); at = 0 }
#endif
  /* write_epoch */
  :: d_step { at == 0 && returns_in != 0 && (returns_in == life || !WRITE_EPOCH_RUN) && HELD &&
         (R.epoch_run != life || !WRITE_EPOCH_ONCE) && ((read_for != 0 && waited) || never_traded) && next_epoch < 8 ->
       R.epoch_run = life; R.epoch = next_epoch; next_epoch++; BEGIN_ANEW;
       printf("tracker %d writes epoch %d of run %d (t=%d)\n", id, R.epoch, life, now) }
  ANNOUNCE(0)
#if SIGNALS == 2
  ANNOUNCE(1)
#endif
  :: d_step { tracker_crashes > 0 && token != 0 -> tracker_crashes--; FORGET_ALL; printf("tracker %d CRASHES\n", id) }
  od
}

/* ------------------------------------------------------------------------------------------------------- risk */

#define SAME(i) (there[i] && signal_of[i] == s && epoch_of[i] == epoch)
#define CLAIM(unused, unused2, i) known[i] = R.verdict[i]; known_epoch[i] = R.verdict_epoch[i]
#define CLAIM_AGAIN claimed_in = life; at = 0; s = 0; epoch = 0; verdict = 0; EACH(CLAIM, R, R)
proctype Risk() {
  byte at, s, epoch, verdict, claimed_in = 1, known[SIGNALS], known_epoch[SIGNALS];   /* known: the ledger's memory */
  do
  :: d_step { at == 0 && (!raw_done[0] || redeliveries > 0) -> if :: raw_done[0] -> redeliveries-- :: else fi; s = 0; at = 1 }
#if SIGNALS == 2
  :: d_step { at == 0 && !raw_done[1] -> s = 1; at = 1 }
#endif
  /* on_signal: a stored decision is told again */
  :: d_step { at == 1 && known[s] != 0 && DECIDE_ONCE -> verdict = known[s]; epoch = known_epoch[s]; at = 3 }
  /* nothing is decided without a valid epoch; what the journal knows is dropped */
  :: d_step { at == 1 && (known[s] == 0 || !DECIDE_ONCE) && (valid_epoch || !RISK_EPOCH) ->
       if :: RISK_KNOWN && R.state[s] != NONE && known[s] == 0 -> at = 4; printf("risk: the journal knows %d, dropped\n", s)
          :: else -> epoch = R.epoch; at = 2;
             verdict = ((valid_epoch && !R.latch && now < EXPIRES && !(RISK_DOUBT && doubt_beside(s))) -> VALIDATED : REJECTED)
       fi }
  /* record: fenced by the run of the claim; the stored decision counts */
  :: d_step { at == 2 && (claimed_in == life || !RISK_CLAIM_RUN) ->
       if :: R.verdict[s] == 0 || !DECIDE_ONCE -> R.verdict[s] = verdict; R.verdict_epoch[s] = (verdict == VALIDATED -> epoch : 0)
          :: else -> verdict = R.verdict[s]; epoch = R.verdict_epoch[s] fi;
       known[s] = verdict; known_epoch[s] = R.verdict_epoch[s]; at = 3; printf("risk records %d: %d (epoch %d)\n", s, verdict, epoch) }
  :: d_step { at == 2 && claimed_in != life && RISK_CLAIM_RUN -> CLAIM_AGAIN; printf("risk is fenced: claims anew\n") }
  :: d_step { at == 3 && verdict == VALIDATED -> at = 4;
       if :: SAME(0) -> committed[0] = 0 :: SAME(1) -> committed[1] = 0 :: SAME(2) -> committed[2] = 0 :: SAME(3) -> committed[3] = 0
          :: else -> k = 0; do :: k < RECORDS && there[k] -> k++ :: else -> break od; assert(k < RECORDS);
               there[k] = 1; signal_of[k] = s; epoch_of[k] = epoch; k = 0 fi; printf("risk tells VALIDATED of %d (epoch %d)\n", s, epoch) }
  :: d_step { at == 3 && verdict == REJECTED -> told[s] = told[s] | E_REJECTED; at = 4; printf("risk tells REJECTED of %d\n", s) }
  /* save: the raw offset moves on; fenced too, then the record comes again */
  :: d_step { at == 4 && (claimed_in == life || !RISK_CLAIM_RUN) -> raw_done[s] = 1; at = 0; s = 0; epoch = 0; verdict = 0 }
  :: d_step { at == 4 && claimed_in != life && RISK_CLAIM_RUN -> CLAIM_AGAIN; printf("risk is fenced: claims anew\n") }
  :: d_step { at != 0 && risk_crashes > 0 -> risk_crashes--; CLAIM_AGAIN; printf("risk CRASHES\n") }
  od
}

/* ------------------------------------------------------------------------------------------------- the world */

#define ARRIVAL(i) \
  :: d_step { order[i] == UNDER_WAY -> order[i] = IN_BOOK; printf("the broker takes %d (t=%d)\n", i, now) } \
  :: d_step { order[i] == UNDER_WAY -> order[i] = TURNED_DOWN } \
  :: d_step { order[i] == UNDER_WAY -> order[i] = DROPPED }
proctype World() {
  byte reply;
  do
  :: d_step { now < END_OF_TIME && !URGENT -> now++; printf("--- t=%d\n", now) }
  ARRIVAL(0)
#if SIGNALS == 2
  ARRIVAL(1)
#endif
  :: d_step { late_begin > 0 -> begin(signal_of[late_begin - 1], late_begin - 1); reply = 0; late_begin = 0;
       printf("the unanswered BEGIN arrives\n") }
  :: d_step { late_begin > 0 -> late_begin = 0; printf("the unanswered BEGIN is lost\n") }
  :: d_step { restarts > 0 && !has_image -> has_image = 1; COPY(image, R); printf("(what follows may be lost)\n") }
  :: d_step { restarts > 0 && has_image && now <= LAST_RESTART -> restarts--; has_image = 0; COPY(R, image); COPY(image, nothing);
       life++; lease_lives = 0; printf("THE STORE RESTARTS as of then: run %d (t=%d)\n", life, now) }
#if EMPTY_RESTART
  :: d_step { restarts > 0 && now <= LAST_RESTART -> restarts--; has_image = 0; COPY(R, nothing); COPY(image, nothing);
       life++; lease_lives = 0; printf("THE STORE RESTARTS empty: run %d (t=%d)\n", life, now) }
#endif
  :: d_step { halts > 0 -> halts--; R.latch = 1; halted = 1; printf("a person HALTS (t=%d)\n", now) }
  :: d_step { clears > 0 && R.latch -> clears--; R.latch = 0; halted = 0; printf("a person clears the latch\n") }
  od
}

/* risk folds both words of an order: it corrects and latches */
#define set_right(s) (((told[s] & E_CORRECTED) && (R.latch || CONTRADICTION)) || (CONTRADICTION && (told[s] & E_PLACED)) || \
  ((told[s] & E_EXTERNAL) && R.latch))
#define IN_THE_END(s) \
  HOLDS(P_BOOKED, order[s] != IN_BOOK || (told[s] & (E_PLACED | E_CORRECTED | E_EXTERNAL)) || in_doubt(R.state[s]) || R.latch); \
  HOLDS(P_LOST_RIGHT, !(order[s] == IN_BOOK && (told[s] & E_LOST)) || set_right(s)); \
  HOLDS(P_OUTCOME, !(order[s] == IN_BOOK && (told[s] & (E_FAILED | E_REJECTED))) || set_right(s)); \
  HOLDS(P_TRUE, !(order[s] == IN_BOOK && (told[s] & (E_LOST | E_FAILED | E_REJECTED)))); \
  HOLDS(P_TOLD, (told[s] & E_TOLD) || in_doubt(R.state[s]) || R.external[s])
proctype End() {
  timeout -> d_step {
    printf("the end (t=%d): calls=%d order=%d state=%d told=%d latch=%d\n", now, calls[0], order[0], R.state[0], told[0], R.latch);
    IN_THE_END(0);
#if SIGNALS == 2
    IN_THE_END(1)
#endif
  }
}

init {
  d_step {
    R.lease = 1; R.epoch_run = 1; R.epoch = 1;
#if !RISK
    R.verdict[0] = VALIDATED; R.verdict_epoch[0] = 1; raw_done[0] = 1; there[0] = 1; signal_of[0] = 0; epoch_of[0] = 1;
#if SIGNALS == 2
    R.verdict[1] = VALIDATED; R.verdict_epoch[1] = 1; raw_done[1] = 1; there[1] = 1; signal_of[1] = 1; epoch_of[1] = 1;
#endif
#endif
  };
  atomic {
    run Engine(0);
    if :: ENGINES == 2 -> run Engine(1) :: else fi;
    run Tracker(0, 1);
    if :: TRACKERS == 2 -> run Tracker(1, 0) :: else fi;
    if :: RISK -> run Risk() :: else fi;
    run World(); run End()
  }
}
