"""The EventBus over Kafka (aiokafka).

Where aiokafka's own way would break a promise of the port, the adapter has one of its own:

* commits name the generation in which the records were fetched (aiokafka names the one that it is in by now, and a
  commit just after a rebalance would move another member's offset);
* where reading begins is asked and set here, never by `auto_offset_reset`;
* batches of a partition wait for one another here, so that a send that gave up leaves nothing behind that is written
  minutes later, and a producer whose sequence numbers have a gap is replaced;
* reconnects back off with a cap and jitter (aiokafka: every 100 ms for ever);
* closing is bounded, whatever the broker does.

This is the only package that imports aiokafka.
"""
