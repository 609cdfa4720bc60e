/* The guards of journal.pml: 1 where the code has it; -DNO_<GUARD> takes it away. Told in guards.py, line by line. */
#ifdef NO_BEGIN_ONCE
#define BEGIN_ONCE 0
#else
#define BEGIN_ONCE 1
#endif
#ifdef NO_BEGIN_RUN
#define BEGIN_RUN 0
#else
#define BEGIN_RUN 1
#endif
#ifdef NO_BEGIN_EPOCH
#define BEGIN_EPOCH 0
#else
#define BEGIN_EPOCH 1
#endif
#ifdef NO_BEGIN_STATE
#define BEGIN_STATE 0
#else
#define BEGIN_STATE 1
#endif
#ifdef NO_BEGIN_EXPIRY
#define BEGIN_EXPIRY 0
#else
#define BEGIN_EXPIRY 1
#endif
#ifdef NO_BEGIN_NO_DOUBT
#define BEGIN_NO_DOUBT 0
#else
#define BEGIN_NO_DOUBT 1
#endif
#ifdef NO_REFUSAL_STORED
#define REFUSAL_STORED 0
#else
#define REFUSAL_STORED 1
#endif
#ifdef NO_OLD_EPOCH_UNKNOWN
#define OLD_EPOCH_UNKNOWN 0
#else
#define OLD_EPOCH_UNKNOWN 1
#endif
#ifdef NO_UNANSWERED_REFUSES
#define UNANSWERED_REFUSES 0
#else
#define UNANSWERED_REFUSES 1
#endif
#ifdef NO_DEADLINE
#define DEADLINE 0
#else
#define DEADLINE 1
#endif
#ifdef NO_AMBIGUOUS_UNKNOWN
#define AMBIGUOUS_UNKNOWN 0
#else
#define AMBIGUOUS_UNKNOWN 1
#endif
#ifdef NO_SETTLE_IN_DOUBT
#define SETTLE_IN_DOUBT 0
#else
#define SETTLE_IN_DOUBT 1
#endif
#ifdef NO_SETTLE_RECREATES
#define SETTLE_RECREATES 0
#else
#define SETTLE_RECREATES 1
#endif
#ifdef NO_ACKNOWLEDGE_REVISION
#define ACKNOWLEDGE_REVISION 0
#else
#define ACKNOWLEDGE_REVISION 1
#endif
#ifdef NO_RESOLVE_LEASE
#define RESOLVE_LEASE 0
#else
#define RESOLVE_LEASE 1
#endif
#ifdef NO_LEASE_RUN
#define LEASE_RUN 0
#else
#define LEASE_RUN 1
#endif
#ifdef NO_RESOLVE_IN_DOUBT
#define RESOLVE_IN_DOUBT 0
#else
#define RESOLVE_IN_DOUBT 1
#endif
#ifdef NO_LOST_AFTER
#define LOST_AFTER 0
#else
#define LOST_AFTER 1
#endif
#ifdef NO_LOST_READS
#define LOST_READS 0
#else
#define LOST_READS 1
#endif
#ifdef NO_CORRECT
#define CORRECT 0
#else
#define CORRECT 1
#endif
#ifdef NO_ORPHAN
#define ORPHAN 0
#else
#define ORPHAN 1
#endif
#ifdef NO_REPEAT
#define REPEAT 0
#else
#define REPEAT 1
#endif
#ifdef NO_REBUILD
#define REBUILD 0
#else
#define REBUILD 1
#endif
#ifdef NO_REBUILD_SEND_BY
#define REBUILD_SEND_BY 0
#else
#define REBUILD_SEND_BY 1
#endif
#ifdef NO_EPOCH_WAIT
#define EPOCH_WAIT 0
#else
#define EPOCH_WAIT 1
#endif
#ifdef NO_EPOCH_READ_AFTER
#define EPOCH_READ_AFTER 0
#else
#define EPOCH_READ_AFTER 1
#endif
#ifdef NO_NEVER_TRADED
#define NEVER_TRADED 0
#else
#define NEVER_TRADED 1
#endif
#ifdef NO_WRITE_EPOCH_RUN
#define WRITE_EPOCH_RUN 0
#else
#define WRITE_EPOCH_RUN 1
#endif
#ifdef NO_WRITE_EPOCH_ONCE
#define WRITE_EPOCH_ONCE 0
#else
#define WRITE_EPOCH_ONCE 1
#endif
#ifdef NO_RETURN_LATCH
#define RETURN_LATCH 0
#else
#define RETURN_LATCH 1
#endif
#ifdef NO_DECIDE_ONCE
#define DECIDE_ONCE 0
#else
#define DECIDE_ONCE 1
#endif
#ifdef NO_RISK_EPOCH
#define RISK_EPOCH 0
#else
#define RISK_EPOCH 1
#endif
#ifdef NO_RISK_KNOWN
#define RISK_KNOWN 0
#else
#define RISK_KNOWN 1
#endif
#ifdef NO_RISK_CLAIM_RUN
#define RISK_CLAIM_RUN 0
#else
#define RISK_CLAIM_RUN 1
#endif
#ifdef NO_RISK_DOUBT
#define RISK_DOUBT 0
#else
#define RISK_DOUBT 1
#endif
#ifdef NO_CONTRADICTION
#define CONTRADICTION 0
#else
#define CONTRADICTION 1
#endif
