-- Reading, counting, purging, the log; and the loop over the operations of a call.

local UNDER_LIMIT = 1048576
local CHUNK = 200

function S.load(args, place)
  local found, number = {}, tonumber(args[place])
  for key = 1, number do
    -- What is missing is false: a nil would cut the answer.
    found[key] = call('GET', S.P .. args[place + key])
  end
  local under, more = {}, 0
  local id = args[place + number + 1]
  if id ~= '' then
    under, more = S.under(string.sub(id, 2) .. '/')
  end
  return {1, found, under, more}
end

function S.under(prefix)
  local under, size, after = {}, 0, ''
  while true do
    local keys = S.keys_below(prefix, after, 64)
    if #keys == 0 then return under, 0 end
    for _, key in ipairs(keys) do
      local text = S.whole_item(key)
      local head = string.byte(text, 1) * 256 + string.byte(text, 2)
      size = size + #text - head
      if size > UNDER_LIMIT and #under > 0 then return under, 1 end
      under[#under + 1] = key
      under[#under + 1] = text
    end
    after = keys[#keys]
  end
end

local function states_of(state)
  if state == '' then return {0, 1, 2, 3} end
  return {tonumber(state)}
end

local function found_keys(index, value, after, most)
  local keys
  if index == 'item' then keys = S.keys_below(value, after, most + 1)
  elseif index == 'item owner' then keys = S.keys_of(value, after, most + 1)
  else
    local views = S.leases(value, after, most + 1)
    local more = #views > most and 1 or 0
    if more == 1 then views[most + 1] = nil end
    return {1, views, more}
  end
  local entries = {}
  for place = 1, math.min(most, #keys) do
    entries[2 * place - 1], entries[2 * place] = keys[place], S.whole_item(keys[place])
  end
  return {1, entries, #keys > most and 1 or 0}
end

function S.find(args, place)
  local index, value, kind, state = args[place], args[place + 1], args[place + 2], args[place + 3]
  local most = tonumber(args[place + 4])
  local start_kind, start_state = args[place + 5], tonumber(args[place + 6])
  if index == 'item' or index == 'item owner' or index == 'lease' then
    return found_keys(index, value, args[place + 8], most)
  end
  local start = start_kind ~= '' and {rank = num(args[place + 7]), id = args[place + 8]} or nil
  local ids = {}
  for _, name in ipairs(S.kinds_of(index, value, kind)) do
    for _, which in ipairs(states_of(state)) do
      local passed = start and (before(name, start_kind) or (name == start_kind and which < start_state))
      if not passed and #ids <= most then
        local after = start and name == start_kind and which == start_state and start or nil
        local key = S.index_key(index, value, name, which)
        for _, id in ipairs(S.walk_ids(key, after, most + 1 - #ids)) do ids[#ids + 1] = id end
      end
    end
  end
  local entries = {}
  for number = 1, math.min(most, #ids) do
    entries[2 * number - 1], entries[2 * number] = ids[number], S.whole(ids[number])
  end
  return {1, entries, #ids > most and 1 or 0}
end

function S.total(args, place)
  local index, value, kind, state = args[place], args[place + 1], args[place + 2], args[place + 3]
  local number = 0
  for _, name in ipairs(S.kinds_of(index, value, kind)) do
    for _, which in ipairs(states_of(state)) do number = number + S.count(index, value, name, which) end
  end
  return {1, number, 0}
end

local function purge_kind(args, place)
  local by, kind, most = num(args[place]), args[place + 1], tonumber(args[place + 4])
  local over, heads = 0, {}
  for state = 1, 3 do
    local key = S.index_key('kind', kind, kind, state)
    over = over + call('ZCARD', key)
    local page = call('ZRANGE', key, 0, most - 1, 'WITHSCORES')
    for number = 1, #page, 2 do heads[#heads + 1] = {id = page[number], gone = num(page[number + 1])} end
  end
  over = args[place + 2] == '' and 0 or math.max(0, over - tonumber(args[place + 2]))
  table.sort(heads, function(one, other)
    if one.gone ~= other.gone then return one.gone < other.gone end
    return before(one.id, other.id)
  end)
  local number = 0
  for rank = 1, math.min(most, #heads) do
    if heads[rank].gone <= by or rank <= over then
      local record = S.record(heads[rank].id)
      if record.finish == 0 then
        S.remove(record)
        number = number + 1
      end
    end
  end
  return {1, number, number >= most and 1 or 0}
end

local function owner_of(event)
  local _, _, reason_size, change_size, id_size, place = unpack(EVENT, event)
  local _, owner = unpack('>Bc0Hc0', event, place + reason_size + change_size + id_size)
  return owner
end

-- Events of an owner; positions are never given again, so that cursors pass the gap.
local function forget(owner, most)
  local number, from = 0, '-'
  while number < most do
    local page = call('XRANGE', S.P .. 'e', from, '+', 'COUNT', CHUNK)
    for _, entry in ipairs(page) do
      if owner_of(entry[2][2]) == '+' .. owner and number < most then
        call('XDEL', S.P .. 'e', entry[1])
        number = number + 1
      end
    end
    if #page < CHUNK then break end
    from = '(' .. page[#page][1]
  end
  return number
end

local function purge_owner(owner, most)
  local number = 0
  for _, kind in ipairs(S.kind_names()) do
    for state = 1, 3 do
      local page = S.walk('owner', owner, kind, state, nil, most - number)
      for _, record in ipairs(page) do S.remove(record) end
      number = number + #page
    end
  end
  if number < most then
    local keys = S.keys_of(owner, '', most - number)
    for _, key in ipairs(keys) do S.remove_item(S.item(key)) end
    number = number + #keys
  end
  number = number + forget(owner, most - number)
  return {1, number, number >= most and 1 or 0}
end

local function trim(by, most)
  S.meta()
  local number = 0
  for _, entry in ipairs(call('XRANGE', S.P .. 'e', '-', '+', 'COUNT', most)) do
    if unpack('>xxxxxxxxd', entry[2][2]) >= by then break end
    number = number + 1
    S.first = tonumber(string.match(entry[1], '^%d+')) + 1
  end
  if number > 0 then call('XTRIM', S.P .. 'e', 'MINID', string.format('%.0f-0', S.first)) end
  return number
end

function S.purge(args, place)
  local by, most, retention = num(args[place]), tonumber(args[place + 4]), num(args[place + 5])
  if args[place + 3] ~= '' then return purge_owner(string.sub(args[place + 3], 2), most) end
  if args[place + 1] ~= '' then return purge_kind(args, place) end
  local expired = call('ZRANGEBYSCORE', S.P .. 'E', '-inf', text_of(by), 'LIMIT', 0, most)
  for _, key in ipairs(expired) do S.remove_item(S.item(key)) end
  local over = S.leases_over(by, most)
  for _, name in ipairs(over) do S.drop_lease(name) end
  local events = trim(by - retention, most)
  local more = math.max(#expired, #over, events) >= most
  return {1, #expired + #over + events, more and 1 or 0}
end

local function begin_of(args, place)
  local after = args[place]
  if after == '' then return S.position, false end
  if after == 'first' then return S.first - 1, false end
  local position = tonumber(after)
  return position, args[place + 1] ~= S.epoch or position < S.first - 1 or position > S.position
end

-- A page of the log: it looks at so many positions at most.
function S.page(args, place)
  S.meta()
  local begin, trimmed = begin_of(args, place)
  if trimmed then return {1, S.epoch, S.first - 1, S.first - 1, 1, 1, {}} end
  local types, limit = args[place + 2], tonumber(args[place + 3])
  local reach = math.min(begin + tonumber(args[place + 4]), S.position)
  local found, position, full = {}, begin, false
  while position < reach and not full do
    local page = call('XRANGE', S.P .. 'e', string.format('%.0f-0', position + 1),
      string.format('%.0f-0', reach), 'COUNT', CHUNK)
    for _, entry in ipairs(page) do
      if #found >= 3 * limit then
        full = true
        break
      end
      position = tonumber(string.match(entry[1], '^%d+'))
      local event = entry[2][1]
      if types == '*' or string.find(types, event, 1, true) then
        found[#found + 1], found[#found + 2], found[#found + 3] = position, event, entry[2][2]
      end
    end
    if not full and #page < CHUNK then position = reach end
  end
  return {1, S.epoch, begin, position, position < S.position and 1 or 0, 0, found}
end

-- Say that something became visible: what every engine follows (endings, displacement, leases), and all else.
function S.publish(who)
  local followed, other = S.handed_on and 'l' or '', ''
  for event in pairs(S.told) do
    if FOLLOWED[event] then followed = followed .. event else other = other .. event end
  end
  if followed ~= '' then call('PUBLISH', S.P .. 'w', who .. ':' .. followed) end
  if other ~= '' then call('PUBLISH', S.P .. 'v', who .. ':' .. other) end
  return followed .. other
end

-- What was told to nobody but those who wait for the channels: how far a reader of what is followed has come who saw
-- all before this call, and whether its answers told all of it.
local function passed()
  return pack('>BI8I8', S.unanswered, S.followed_before, S.position) .. S.epoch
end

local MEANING = {L = S.load, C = S.commit, E = S.finish, A = S.acquire, R = S.renew, G = S.release, F = S.find,
  N = S.total, P = S.purge, V = S.page, M = S.stand, I = S.take}
-- What nearly all operations are, each with a fixed number of arguments.
local QUICK = {l = S.load_one, o = S.open, u = S.update, t = S.touch, e = S.end_one_id}
local SIZES = {l = 1, o = 4, u = 4, t = 2, e = 5}
-- What a store that does not stand open refuses.
local CHANGES = {C = true, E = true, A = true, R = true, G = true, P = true, o = true, u = true, t = true, e = true}

-- The arguments: the run of the server, a fresh epoch, who asks, whether leases go by the operations' times, whether
-- to prove first that there is room; then of each operation its letter, the number of its arguments where that is not
-- fixed, and these. One that fails is answered as failed alone.
function S.apply(keys, args)
  call, pack, unpack, sub = redis.call, struct.pack, struct.unpack, string.sub
  S.P = sub(keys[1], 1, -2)
  S.run, S.fresh_epoch, S.by_clock = args[1], args[2], args[4] == '1'
  S.number, S.saved, S.time, S.mark, S.handed_on, S.told, S.unanswered = nil, nil, nil, nil, false, {}, 0
  S.leases_read, S.leases_changed = {}, {}
  -- It writes nothing, and is refused where nothing may be written.
  if args[5] == '1' then call('SETRANGE', keys[1], 0, '') end
  local answers, number, place, last = {}, 0, 6, #args
  while place < last do
    local letter = args[place]
    local size, meaning = SIZES[letter], QUICK[letter]
    if not size then
      place = place + 1
      size, meaning = tonumber(args[place]), MEANING[letter]
    end
    if CHANGES[letter] then
      if S.mark == nil then S.mark = call('GET', S.P .. 'M') end
      if S.mark then meaning = S.refusal end
    end
    local done, answer = pcall(meaning, args, place + 1)
    number = number + 1
    if not done then answer = {-1, type(answer) == 'table' and answer.err or tostring(answer)} end
    answers[number] = answer
    place = place + 1 + size
  end
  S.save_leases()
  S.save()
  local told = S.publish(args[3])
  if told == '' then return {answers} end
  return {answers, told, S.number and passed() or ''}
end
