from sankhya_sdk import SankhyaContext

# Sessão abre automaticamente
with SankhyaContext.from_settings() as ctx:
    # Operações aqui
    resultado = ctx.wrapper.find(Partner, "CODPARC > 0")
# Sessão fecha automaticamente (logout)
