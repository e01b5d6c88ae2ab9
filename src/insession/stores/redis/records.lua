-- Records, items and their indexes. The files of this folder are one program, in the order that `script.py` names:
-- a function where the server has functions, a script elsewhere. Nothing of the server is used while it is loaded.
--
-- An id, or that of a change, is 16 bytes where it is 32 hexadecimal digits, else '=' and the text (and a NUL behind,
-- should that make 16 bytes). An optional text is '' where there is none, else '+' and the text. Numbers are doubles: versions and positions
-- stay below 2^53. Times travel as text with 17 digits or as packed doubles, both exact.

local S = {}

-- A record: `records.py` says what lies where. What an ending or an update leaves as it is stands together.
local HEAD = '>I8HHHBBddddddddBc0Hc0Hc0Bc0'
local FIXED_SIZE = 86
local DUE_AT = 24
local KIND_AT = 80
local READ_AHEAD = 1023
local META = '>I8I8I8I8Bc0Bc0'
local EVENT = '>I8dHHH'
local FOLLOWED = {[2] = true, [3] = true, [4] = true, [7] = true}

-- `redis.call` and what else is needed all the time, bound by each call.
local call, pack, unpack, sub

local function num(text)
  if text == 'inf' then return math.huge end
  return tonumber(text)
end

local function text_of(number)
  return string.format('%.17g', number)
end

-- Text order in Lua is the locale's; the contract's is that of bytes.
local function before(one, other)
  local size = math.min(#one, #other)
  for place = 1, size do
    local mine, theirs = string.byte(one, place), string.byte(other, place)
    if mine ~= theirs then return mine < theirs end
  end
  return #one < #other
end

-- What the partition counts, and its kinds, read when the first operation of a call needs it. Another run of the
-- server than the one that wrote last may have lost what came at the end of the log: its epoch is a new one.
function S.meta()
  if S.number then return end
  local text = call('GET', S.P .. 'm')
  if not text or text == '' then text = pack(META, 0, 0, 1, 0, 0, '', 0, '') .. '\0' end
  local run, place
  S.number, S.position, S.first, S.followed, S.epoch, run, place = unpack(META, text)
  S.kinds, S.saved, S.followed_before = sub(text, place), text, S.followed
  if run ~= S.run then S.epoch = S.fresh_epoch end
end

function S.save()
  if not S.number then return end
  local text = pack(META, S.number, S.position, S.first, S.followed, #S.epoch, S.epoch, #S.run, S.run) .. S.kinds
  if text ~= S.saved then call('SET', S.P .. 'm', text) end
end

function S.next_number()
  S.meta()
  S.number = S.number + 1
  return S.number
end

-- Every kind that there was, in order.
function S.kind_names()
  S.meta()
  local names = {}
  for name in string.gmatch(S.kinds, '%Z+') do names[#names + 1] = name end
  return names
end

local function know_kind(kind)
  S.meta()
  if string.find(S.kinds, '\0' .. kind .. '\0', 1, true) then return end
  local names = S.kind_names()
  names[#names + 1] = kind
  table.sort(names, before)
  S.kinds = '\0' .. table.concat(names, '\0') .. '\0'
end

function S.unpacked(id, text)
  local version, size, reason_size, change_size, state, finish, ended, due, touched, window, reach, absolute, keep,
    opened, kind, owner, node, stopped, place = unpack(HEAD, text)
  local change = change_size == 0 and id or sub(text, size - change_size + 1, size)
  return {id = id, text = text, size = size, state = state, finish = finish, version = version, touched = touched,
    due = due, opened = opened, window = window, reach = reach, absolute = absolute, ended = ended, keep = keep,
    kind = kind, owner = owner, node = node, change = change, reason = sub(text, place, place + reason_size - 1),
    stopped = stopped}
end

-- The beginning of a record with its whole envelope, and the size of that.
local function head_of(key, ahead)
  local text = call('GETRANGE', key, 0, ahead)
  if #text == 0 then return nil end
  local size = string.byte(text, 9) * 256 + string.byte(text, 10)
  if size > #text then text = call('GETRANGE', key, 0, size - 1) end
  return text, size
end

function S.record(id)
  local text = head_of(S.P .. 's' .. id, READ_AHEAD)
  return text and S.unpacked(id, text)
end

function S.whole(id)
  return call('GET', S.P .. 's' .. id)
end

-- The data of a record whose beginning was read: often they came along.
local function data_of(text, size, key)
  if #text > READ_AHEAD then return call('GETRANGE', key, size, -1) end
  return sub(text, size + 1)
end

function S.copy(r)
  return {id = r.id, text = r.text, size = r.size, state = r.state, finish = r.finish, version = r.version,
    touched = r.touched, due = r.due, opened = r.opened, window = r.window, reach = r.reach, absolute = r.absolute,
    ended = r.ended, keep = r.keep, kind = r.kind, owner = r.owner, node = r.node, change = r.change,
    reason = r.reason, stopped = r.stopped}
end

local function packed(r)
  -- An opening often has the session's id as that of its change.
  local change = r.change == r.id and '' or r.change
  r.size = FIXED_SIZE + #r.kind + #r.owner + #r.node + #change + #r.reason + #r.stopped
  return pack(HEAD, r.version, r.size, #r.reason, #change, r.state, r.finish, r.ended, r.due, r.touched, r.window,
    r.reach, r.absolute, r.keep, r.opened, #r.kind, r.kind, #r.owner, r.owner, #r.node, r.node, #r.stopped,
    r.stopped) .. r.reason .. change
end

function S.rank(r)
  if r.state == 0 then return r.opened end
  if r.finish == 1 then return math.huge end
  return r.ended + r.keep
end

-- Into the indexes of a state.
function S.enter(id, state, rank, kind, owner, node, finish)
  local P, where = S.P, state .. kind
  call('ZADD', P .. 'k' .. where, rank, id)
  if owner ~= '' then call('ZADD', P .. 'o' .. where .. owner, rank, id) end
  if node ~= '' then call('ZADD', P .. 'n' .. where .. node, rank, id) end
  if finish == 1 then call('ZADD', P .. 'f' .. where, rank, id) end
end

function S.leave(id, state, kind, owner, node, finish)
  local P, where = S.P, state .. kind
  call('ZREM', P .. 'k' .. where, id)
  if owner ~= '' then call('ZREM', P .. 'o' .. where .. owner, id) end
  if node ~= '' then call('ZREM', P .. 'n' .. where .. node, id) end
  if finish == 1 then call('ZREM', P .. 'f' .. where, id) end
  if state == 0 then call('ZREM', P .. 'd' .. kind, id) end
end

local function enter(r)
  know_kind(r.kind)
  S.enter(r.id, r.state, S.rank(r), r.kind, r.owner, r.node, r.finish)
  if r.state == 0 then call('ZADD', S.P .. 'd' .. r.kind, r.due, r.id) end
end

local function leave(r)
  S.leave(r.id, r.state, r.kind, r.owner, r.node, r.finish)
end

local function rewrite(r, old, data)
  local key, size = S.P .. 's' .. r.id, old and old.size
  local head = packed(r)
  if data then
    call('SET', key, head .. data)
  elseif size == r.size then
    call('SETRANGE', key, 0, head)
  else
    call('SET', key, head .. data_of(old.text, size, key))
    r.size = #head
  end
end

-- Put a record in place of `old`, in every index; without `data` its data stay.
function S.write(r, old, data)
  rewrite(r, old, data)
  if not old then
    enter(r)
  elseif old.state ~= r.state or old.node ~= r.node or old.finish ~= r.finish or old.owner ~= r.owner
    or old.kind ~= r.kind or S.rank(old) ~= S.rank(r) then
    leave(old)
    enter(r)
  elseif r.state == 0 and old.due ~= r.due then
    call('ZADD', S.P .. 'd' .. r.kind, r.due, r.id)
  end
end

-- The text of an id: keys of items begin with it.
function S.text_of_id(id)
  if #id == 16 then return string.format(string.rep('%02x', 16), string.byte(id, 1, 16)) end
  return (string.gsub(string.sub(id, 2), '%z', ''))
end

local function id_of_text(text)
  return '=' .. text .. (#text == 15 and '\0' or '')
end

-- Remove a record with what lies under it.
function S.remove(r)
  local prefix = S.text_of_id(r.id) .. '/'
  while true do
    local keys = S.keys_below(prefix, '', 64)
    if #keys == 0 then break end
    for _, key in ipairs(keys) do S.remove_item(S.item(key)) end
  end
  call('DEL', S.P .. 's' .. r.id)
  leave(r)
end

function S.index_key(index, value, kind, state)
  local where = state .. kind
  if index == 'owner' then return S.P .. 'o' .. where .. '+' .. value end
  if index == 'node' then return S.P .. 'n' .. where .. '+' .. value end
  if index == 'finish' then return S.P .. 'f' .. where end
  return S.P .. 'k' .. where
end

-- Ids of an index after a place (rank and id), in the order of rank and id.
function S.walk_ids(key, after, most)
  if most <= 0 then return {} end
  if not after then return call('ZRANGE', key, 0, most - 1) end
  local score = call('ZSCORE', key, after.id)
  if score and num(score) == after.rank then
    local place = call('ZRANK', key, after.id)
    return call('ZRANGE', key, place + 1, place + most)
  end
  local ids, offset, step = {}, 0, most + 64
  while #ids < most do
    local page = call('ZRANGEBYSCORE', key, text_of(after.rank), '+inf', 'WITHSCORES', 'LIMIT', offset, step)
    for place = 1, #page, 2 do
      if (num(page[place + 1]) > after.rank or before(after.id, page[place])) and #ids < most then
        ids[#ids + 1] = page[place]
      end
    end
    if #page < 2 * step then break end
    offset = offset + step
  end
  return ids
end

function S.walk(index, value, kind, state, after, most)
  local records = {}
  for place, id in ipairs(S.walk_ids(S.index_key(index, value, kind, state), after, most)) do
    records[place] = S.record(id)
  end
  return records
end

-- Live records of a kind that are due by then, in the order of due and id.
function S.due(kind, by, most)
  local records = {}
  local ids = call('ZRANGEBYSCORE', S.P .. 'd' .. kind, '-inf', text_of(by), 'LIMIT', 0, most)
  for place, id in ipairs(ids) do records[place] = S.record(id) end
  return records
end

function S.next_due(kinds)
  local nearest = math.huge
  for _, kind in ipairs(kinds) do
    local first = call('ZRANGE', S.P .. 'd' .. kind, 0, 0, 'WITHSCORES')
    if first[2] then nearest = math.min(nearest, num(first[2])) end
  end
  return nearest
end

function S.count(index, value, kind, state)
  return call('ZCARD', S.index_key(index, value, kind, state))
end

-- The kinds that an ending, a page or a number speaks of, in order.
function S.kinds_of(index, value, kind)
  if index == 'kind' then
    if kind == '' or kind == value then return {value} end
    return {}
  end
  if kind ~= '' then return {kind} end
  local kinds = {}
  for _, name in ipairs(S.kind_names()) do
    if index == 'due' or string.sub(name, 1, 1) ~= '~' then kinds[#kinds + 1] = name end
  end
  return kinds
end

-- Keys of items: by prefix, or of an owner, in the order of their bytes. No byte of UTF-8 is 255.
function S.keys_below(prefix, after, most)
  local from = (after == '' or before(after, prefix)) and '[' .. prefix or '(' .. after
  if from == '[' then from = '-' end
  return call('ZRANGEBYLEX', S.P .. 'I', from, prefix == '' and '+' or '(' .. prefix .. '\255', 'LIMIT', 0, most)
end

function S.keys_of(owner, after, most)
  return call('ZRANGEBYLEX', S.P .. 'W' .. owner, after == '' and '-' or '(' .. after, '+', 'LIMIT', 0, most)
end

function S.whole_item(key)
  return call('GET', S.P .. 'i' .. key)
end

function S.item(key)
  local name = S.P .. 'i' .. key
  local text = call('GETRANGE', name, 0, READ_AHEAD)
  if #text == 0 then return nil end
  local size = string.byte(text, 1) * 256 + string.byte(text, 2)
  if size > #text then text = call('GETRANGE', name, 0, size - 1) end
  local i = {key = key, size = size, changes = {}}
  local number, place
  size, i.version, i.expires, i.owner, number, place = struct.unpack('>HI8dHc0B', text)
  for change = 1, number do i.changes[change], place = struct.unpack('>Hc0', text, place) end
  return i
end

function S.put_item(i, old, data)
  local parts = {struct.pack('>I8dHc0B', i.version, i.expires, #i.owner, i.owner, #i.changes)}
  for _, change in ipairs(i.changes) do parts[#parts + 1] = struct.pack('>Hc0', #change, change) end
  local head = table.concat(parts)
  call('SET', S.P .. 'i' .. i.key, struct.pack('>H', #head + 2) .. head .. data)
  if not old then call('ZADD', S.P .. 'I', 0, i.key) end
  if old and old.owner ~= '' and old.owner ~= i.owner then
    call('ZREM', S.P .. 'W' .. string.sub(old.owner, 2), i.key)
  end
  if i.owner ~= '' and not (old and old.owner == i.owner) then
    call('ZADD', S.P .. 'W' .. string.sub(i.owner, 2), 0, i.key)
  end
  if i.expires < math.huge then
    if not old or old.expires ~= i.expires then call('ZADD', S.P .. 'E', i.expires, i.key) end
  elseif old and old.expires < math.huge then
    call('ZREM', S.P .. 'E', i.key)
  end
end

function S.remove_item(i)
  call('DEL', S.P .. 'i' .. i.key)
  call('ZREM', S.P .. 'I', i.key)
  if i.owner ~= '' then call('ZREM', S.P .. 'W' .. string.sub(i.owner, 2), i.key) end
  if i.expires < math.huge then call('ZREM', S.P .. 'E', i.key) end
end

-- Append an event, as `records.py` says; its position is the partition's next one. `answered`: of an ending that
-- the answer tells to who made it.
local function append(event, text, answered)
  S.position = S.position + 1
  S.told[event] = true
  if FOLLOWED[event] then
    S.followed = S.position
    if not answered then S.unanswered = 1 end
  end
  call('XADD', S.P .. 'e', string.format('%.0f-0', S.position), event, text)
end

function S.log(event, time, id, kind, owner, version, reason, change, node)
  S.meta()
  if change == id then change = '' end
  append(event, pack(EVENT, version, time, #reason, #change, #id) .. reason .. change .. id ..
    pack('>Bc0Hc0', #kind, kind, #owner, owner) .. node)
end
