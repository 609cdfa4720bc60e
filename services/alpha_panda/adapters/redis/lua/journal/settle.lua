-- ARGV: id, tag, attempt, outcome, fallback. From SENDING only the attempt that got GO settles; what is UNKNOWN
-- anybody may settle. Replies the entry as it is now.
local entry = find(ARGV[2], ARGV[3]) or cmsgpack.unpack(ARGV[6])
if entry.state == 'SENDING' and entry.attempt ~= ARGV[4] then return cmsgpack.pack(entry) end -- guard: attempt
if not IN_DOUBT[entry.state] then return cmsgpack.pack(entry) end -- guard: settled
return settled(entry, cmsgpack.unpack(ARGV[5]))
