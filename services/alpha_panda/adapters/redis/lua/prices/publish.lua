-- KEYS: the feed's last cursor, then one stream a token. ARGV: ranges to keep a stream, seconds to keep a stream that
-- gets none, then for each range: which key, range.
-- Cursors grow with the clock: one that the store has lost is not handed out again, nor when the clock steps back.
local cursor = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), time_us())
for at = 4, #ARGV, 2 do
  cursor = cursor + 1
  local stream = KEYS[tonumber(ARGV[at])]
  redis.call('XADD', stream, 'MAXLEN', '~', ARGV[2], whole(cursor) .. '-0', 'range', ARGV[at + 1])
end
for index = 2, #KEYS do redis.call('EXPIRE', KEYS[index], ARGV[3]) end
redis.call('SET', KEYS[1], whole(cursor))
return redis.status_reply('OK')
