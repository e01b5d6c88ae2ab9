from modules.session_management.providers.hardware_id_provider import HardwareIDProvider

config = {
    'cache_file': 'test.cache',
    'length': 16
}

provider = HardwareIDProvider(config)
await provider.initialize()

hardware_id = None
async for result in provider.process(None):
    hardware_id = result
    break

assert hardware_id is not None
assert len(hardware_id) == 16
