# ✅ Correto
with SankhyaContext.from_settings() as ctx:
    ...

# ❌ Evitar (pode deixar sessões abertas)
ctx = SankhyaContext.from_settings()
...
# Se exceção ocorrer aqui, sessão não fecha
