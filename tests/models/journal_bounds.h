/* The bounds of journal.pml; -DNAME=value changes one. Times are in ticks of the one clock `now`. */
#ifndef SIGNALS        /* signals: 1 or 2, of one key */
#define SIGNALS 1
#endif
#ifndef ENGINES        /* 1 or 2 */
#define ENGINES 2
#endif
#ifndef TRACKERS       /* 1 or 2, by lease */
#define TRACKERS 1
#endif
#ifndef RISK           /* 0: each signal is validated and produced before the beginning */
#define RISK 0
#endif
#ifndef END_OF_TIME    /* the clock stops here */
#define END_OF_TIME 4
#endif
#ifndef EXPIRES        /* a signal's expires_at */
#define EXPIRES 1
#endif
#ifndef LAST_RESTART   /* the store restarts no later than this */
#define LAST_RESTART 0
#endif
#ifndef S              /* how long GO permits a call */
#define S 1
#endif
#ifndef D              /* how long after send_by the book may still be silent */
#define D 1
#endif
#ifndef L              /* how long a request is under way at most; RESIDUAL lifts it */
#define L 1
#endif
#ifndef READS          /* complete readings without the order before it is LOST */
#define READS 1
#endif
#ifndef CHECKED        /* the properties that are checked: a sum of P_* */
#define CHECKED 2047
#endif
#ifndef RESIDUAL       /* 1: a request may arrive at any time (a write frozen in a process) */
#define RESIDUAL 0
#endif
#ifndef FROZEN_CALL    /* 1: the call may stand still between its clock check and the socket */
#define FROZEN_CALL 0
#endif
#ifndef EMPTY_RESTART  /* 1: the store may also come back empty */
#define EMPTY_RESTART 0
#endif
#ifndef LOOKED_AT      /* 1: a person clears the latch of the store's return at once */
#define LOOKED_AT 1
#endif
/* how often each fault may happen */
#ifndef ENGINE_CRASHES
#define ENGINE_CRASHES 0
#endif
#ifndef TRACKER_CRASHES
#define TRACKER_CRASHES 0
#endif
#ifndef RISK_CRASHES
#define RISK_CRASHES 0
#endif
#ifndef RESTARTS       /* of the store, any tail lost */
#define RESTARTS 0
#endif
#ifndef LOST_REPLIES   /* of BEGIN and settle */
#define LOST_REPLIES 0
#endif
#ifndef LATE_BEGINS    /* unanswered BEGINs that the store gets later */
#define LATE_BEGINS 0
#endif
#ifndef FAULTS         /* refusals of the engine before BEGIN: price, session ... */
#define FAULTS 0
#endif
#ifndef HALTS          /* a person's */
#define HALTS 0
#endif
#ifndef CLEARS         /* of the latch, by a person */
#define CLEARS 0
#endif
#ifndef REDELIVERIES   /* of committed Kafka records */
#define REDELIVERIES 0
#endif
#ifndef MISSED_ROWS    /* readings that leave an existing order out */
#define MISSED_ROWS 0
#endif
#ifndef TAKEOVERS      /* of the order-tracker's lease while its holder is paused */
#define TAKEOVERS 0
#endif
#ifndef EXTRA_READS    /* readings of the book that the model would otherwise leave out as useless */
#define EXTRA_READS 0
#endif
