# ✅ Finalizar explicitamente
token = ctx.acquire_session()
try:
    # operações
finally:
    ctx.finalize_session(token)

# ❌ Não deixar sessões abertas
token = ctx.acquire_session()
# operações (se exceção, sessão fica aberta)
