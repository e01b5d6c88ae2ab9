from sankhya_sdk import SankhyaContext

# Cria contexto principal
ctx = SankhyaContext.from_settings()

# Adquire sessões adicionais
token1 = ctx.acquire_session()  # Retorna UUID
token2 = ctx.acquire_session()

print(f"Sessão 1: {token1}")
print(f"Sessão 2: {token2}")

# Usa sessões
result1 = ctx.invoke_with_token(token1, "ServiceName", request1)
result2 = ctx.invoke_with_token(token2, "ServiceName", request2)

# Finaliza sessões
ctx.finalize_session(token1)
ctx.finalize_session(token2)

ctx.dispose()
