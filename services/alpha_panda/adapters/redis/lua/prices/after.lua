-- KEYS: the feed's last cursor, then one stream a token. ARGV: greatest number of ranges a token, then the reader's
-- cursor of each token. Replies {the feed's last cursor, {stream entries of the first token}, …}.
-- A cursor above the last one is of a store that has lost it: it says nothing of what is here now.
local last = redis.call('GET', KEYS[1]) or '0'
local reply = {last}
for index = 2, #KEYS do
  local cursor, from = ARGV[index + 1], '-'
  if tonumber(cursor) <= tonumber(last) then from = '(' .. cursor .. '-0' end -- guard: cursor of this store
  reply[index] = redis.call('XRANGE', KEYS[index], from, '+', 'COUNT', ARGV[2])
end
return reply
