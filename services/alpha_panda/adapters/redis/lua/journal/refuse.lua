-- Writes a refusal that was found before BEGIN, once. ARGV further: code, message. Replies {go, fresh, entry}.

local known = find(id, tag)
if known then return duplicate(known) end -- guard: refuse known id

local entry = fresh_entry(stored_decision())
if asked_epoch ~= valid_epoch() then return doubtful(entry) end -- guard: refuse journal epoch
return refused(entry, ARGV[8], ARGV[9])
