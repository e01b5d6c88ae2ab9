from sankhya_sdk import SankhyaContext

ctx = SankhyaContext.from_settings()
try:
    # Operações
    resultado = ctx.wrapper.find(Partner, "CODPARC > 0")
finally:
    ctx.dispose()  # Importante: sempre chamar dispose()
