-- A store that does not stand open, and what it is filled with: `kernel.marks`, beside the data.

local MOVED, FILLING = 9, 10

local function mark_of(text)
  local standing, store = string.match(text or 'open ', '^(%a+) (.*)$')
  return standing, store
end

function S.refusal()
  local standing, store = mark_of(S.mark)
  return {0, standing == 'moved' and MOVED or FILLING, store}
end

function S.stand(args, place)
  S.meta()
  local standing = args[place]
  S.mark = call('GET', S.P .. 'M')
  if standing == 'open' then
    if S.mark then
      S.mark, S.epoch = false, args[place + 3]
      call('DEL', S.P .. 'M')
    end
    S.number = math.max(S.number, tonumber(args[place + 2]))
  elseif standing ~= '' then
    S.mark = standing .. ' ' .. args[place + 1]
    call('SET', S.P .. 'M', S.mark)
  end
  if standing ~= '' then
    -- Whoever waits shall look: there may be another epoch to read.
    S.handed_on, S.unanswered = true, 1
  end
  local stands, store = mark_of(S.mark)
  return {1, stands, store, S.number}
end

local function newer(one, there)
  if one.version == there.version and one.touched then return one.touched >= there.touched end
  return one.version >= there.version
end

local function take_item(args, place)
  local key, there = args[place + 1], S.item(args[place + 1])
  local one
  if args[place + 2] == '1' then
    one = {key = key, version = tonumber(args[place + 4]), expires = num(args[place + 5]), owner = args[place + 6],
      changes = {}}
    for number = 1, tonumber(args[place + 7]) do one.changes[number] = args[place + 7 + number] end
  end
  if there and (not one or newer(one, there)) then
    S.remove_item(there)
    there = nil
  end
  if one and not there then S.put_item(one, nil, args[place + 3]) end
  return {1, {one and one.version or 0}}
end

function S.take(args, place)
  if mark_of(call('GET', S.P .. 'M')) ~= 'filling' then return {0, 0} end
  if args[place] == 'i' then return take_item(args, place) end
  local id, there, one = args[place + 1], S.record(args[place + 1]), nil
  if args[place + 2] ~= '' then one = S.unpacked(id, args[place + 2]) end
  if there and (not one or newer(one, there)) then
    call('DEL', S.P .. 's' .. id)
    leave(there)
    there = nil
  end
  if one and not there then S.write(one, nil, args[place + 3]) end
  return {1, {one and one.version or 0}}
end
