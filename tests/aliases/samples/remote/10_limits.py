from concurrent.futures import ThreadPoolExecutor

# ✅ Limitar workers
with ThreadPoolExecutor(max_workers=5) as executor:
    ...

# ❌ Evitar muitas sessões
with ThreadPoolExecutor(max_workers=100) as executor:
    # Pode exceder limite do servidor
    ...
