--!include base requests
--!args request
-- The answer that is kept of a request.
-- Returns: 'ok' | 'not ready', JSON or ''
if not is_ready() then
    return {'not ready'}
end
return {'ok', recall(request) or ''}
