# Processo 1: Cria e detacha sessão
ctx1 = SankhyaContext.from_settings()
token = ctx1.acquire_session()
wrapper_serializado = ctx1.detach_session(token)

# Processo 2: Usa sessão detachada
ctx2 = SankhyaContext.from_settings()
ctx2.attach_session(token, wrapper_serializado)
result = ctx2.invoke_with_token(token, "ServiceName", request)
